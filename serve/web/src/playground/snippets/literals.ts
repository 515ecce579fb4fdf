/** Values as the source text of other languages. Pictures in the page become files that the reader has. */
import type { Json } from "@/api/types";

/** A file that stands for a picture's bytes: `input` names it. */
export const FILE = /^data:image\/(png|jpeg|webp);base64,/;

export function isPicture(value: Json): boolean {
  return typeof value === "string" && FILE.test(value);
}

/** The file's name in the snippet for the picture of `field`. */
export function fileOf(field: string): string {
  return `${field}.png`;
}

/** A Python literal. JSON's strings are Python's; its other words are not. */
export function python(value: Json, depth = 0): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = " ".repeat(4 * (depth + 1));
  const outer = " ".repeat(4 * depth);
  const entries = Array.isArray(value)
    ? value.map((one) => python(one, depth + 1))
    : Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${pythonNamed(name, one, depth + 1)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = open + entries.join(", ") + close;
  if (line.length <= 80 - 4 * depth && !line.includes("\n")) return line;
  return `${open ?? ""}\n${entries.map((one) => `${inner}${one},\n`).join("")}${outer}${close ?? ""}`;
}

/** With pictures read from a file by the snippet's own `picture`. */
function pythonNamed(name: string, value: Json, depth: number): string {
  return isPicture(value) ? `picture(${JSON.stringify(fileOf(name))})` : python(value, depth);
}

/** JavaScript, indented; pictures are read by the snippet's own `picture`. */
export function javascript(value: Json, indent = 0): string {
  const marked = JSON.stringify(value, (name, one: Json) => (isPicture(one) ? `\0${fileOf(name)}` : one), 2);
  const read = marked.replace(/"\\u0000([^"]*)"/g, (_, file: string) => `await picture("${file}")`);
  return read.replaceAll("\n", `\n${" ".repeat(indent)}`);
}

/** JSON within single quotes for a shell; pictures are read from their files in between. */
export function shellJson(value: Json): string {
  const marked = JSON.stringify(value, (name, one: Json) => (isPicture(one) ? `\0${fileOf(name)}` : one));
  const quoted = marked.replaceAll("'", `'\\''`);
  const read = quoted.replace(
    /"\\u0000([^"]*)"/g,
    (_, file: string) => `"data:image/png;base64,'"$(base64 < ${file} | tr -d '\\n')"'"`,
  );
  return `'${read}'`;
}

export function hasPictures(value: Json): boolean {
  if (typeof value !== "object" || value === null) return isPicture(value);
  return Object.values(value).some(hasPictures);
}
