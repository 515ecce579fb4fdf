/** The page's build: hashed assets in dist/assets, no source maps, the canvas in a chunk of its own. */
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  build: { target: "es2022", sourcemap: false, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: {
    port: 5173,
    proxy: Object.fromEntries(
      ["/v1", "/login", "/logout", "/docs", "/openapi.json"].map((path) => [
        path,
        process.env.SLIPWAY_URL ?? "http://127.0.0.1:8000",
      ]),
    ),
  },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"] },
});
