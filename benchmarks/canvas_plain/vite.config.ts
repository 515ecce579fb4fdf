/** Built with the web app's own packages: `npx vite build --config ../../benchmarks/canvas_plain/vite.config.ts` there. */
import { fileURLToPath } from "node:url";

const modules = fileURLToPath(
  new URL("../../serve/web/node_modules/", import.meta.url),
);

export default {
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  define: { "process.env.NODE_ENV": '"production"' },
  resolve: {
    alias: [
      {
        find: /^(react|react-dom|@xyflow\/react)($|\/)/,
        replacement: `${modules}$1$2`,
      },
    ],
  },
  oxc: { jsx: { runtime: "automatic" } },
};
