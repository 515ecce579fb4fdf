/**
 * Writes a .br and a .gz beside every file of the build that is worth it. The gateway sends these as they are: it
 * compresses nothing itself, and the same sources always give the same bytes.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { extname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

import type { Plugin } from "vite";

const TEXT = new Set([".js", ".css", ".html", ".svg", ".json", ".txt", ".webmanifest"]);
/** Smaller ones fit into one packet in any case. Fonts and pictures are compressed already. */
const MIN_BYTES = 1000;
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };
const GZIP = { level: constants.Z_BEST_COMPRESSION };

export function precompress(): Plugin {
  let folder = "";
  return {
    name: "precompress",
    apply: "build",
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir);
    },
    async closeBundle(error) {
      if (error === undefined) await compressAll(folder);
    },
  };
}

async function compressAll(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const texts = entries.filter((entry) => entry.isFile() && TEXT.has(extname(entry.name)));
  await Promise.all(texts.map((entry) => compressOne(join(entry.parentPath, entry.name))));
}

async function compressOne(path: string): Promise<void> {
  const content = await readFile(path);
  if (content.length < MIN_BYTES) return;
  const [brotlied, gzipped] = await Promise.all([
    promisify(brotliCompress)(content, BROTLI),
    promisify(gzip)(content, GZIP),
  ]);
  await keepSmaller(`${path}.br`, brotlied, content);
  await keepSmaller(`${path}.gz`, gzipped, content);
}

async function keepSmaller(path: string, compressed: Buffer, content: Buffer): Promise<void> {
  if (compressed.length < content.length) await writeFile(path, compressed);
}
