/** The page's build: hashed assets in dist/assets, no source maps, the canvas in a chunk of its own. */
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

import { precompress } from "./precompress";

/** For `npm run dev`: a platform that runs, and a key for it. */
const PLATFORM = process.env["SLIPWAY_URL"] ?? "http://127.0.0.1:8000";
const KEY = process.env["SLIPWAY_KEY"];
const AUTHORIZATION: Record<string, string> = KEY === undefined ? {} : { authorization: `Bearer ${KEY}` };
const API_PATHS = ["/v1", "/login", "/logout", "/docs", "/openapi.json"];

export default defineConfig({
  plugins: [react(), tailwindcss(), precompress()],
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  build: { target: "es2022", sourcemap: false, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: Object.fromEntries(API_PATHS.map((path) => [path, { target: PLATFORM, headers: AUTHORIZATION }])) },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"] },
});
