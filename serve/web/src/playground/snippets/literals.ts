/** Values as the source text of other languages. Pictures in the page become files that the reader has. */
import type { Json } from "@/api/types";
import { pythonic, quoted } from "@/snippets/literals";

/** A file that stands for a picture's bytes: `input` names it. */
const FILE = /^data:image\/(png|jpeg|webp);base64,/;

export function isPicture(value: Json): boolean {
  return typeof value === "string" && FILE.test(value);
}

/** The file's name in the snippet for the picture of `field`. */
export function fileOf(field: string): string {
  return `${field}.png`;
}

/** A Python literal. JSON's strings are Python's; its other words are not. */
export function python(value: Json, depth = 0): string {
  if (value === null || typeof value !== "object") return pythonic(value);
  const inner = " ".repeat(4 * (depth + 1));
  const outer = " ".repeat(4 * depth);
  const entries = Array.isArray(value)
    ? value.map((one, place) => pythonNamed(String(place), one, depth + 1))
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

/** JSON with what `written` makes of each picture's file in the place of the picture. */
function jsonWith(value: Json, written: (file: string) => string, indent?: number): string {
  const files: string[] = [];
  const mark = unusedIn(JSON.stringify(value));
  const named = (name: string, one: Json) => (isPicture(one) ? `${mark}${String(files.push(fileOf(name)) - 1)}` : one);
  const marks = new RegExp(`"${mark}(\\d+)"`, "g");
  return JSON.stringify(value, named, indent).replace(marks, (_, place) => written(files[Number(place)] ?? ""));
}

/** What no text in it can be taken for: texts come from links, too, and must not become a program's words. */
function unusedIn(text: string, mark = "picture-"): string {
  return text.includes(mark) ? unusedIn(text, `${mark}-`) : mark;
}

/** JavaScript, indented; pictures are read by the snippet's own `picture`. */
export function javascript(value: Json): string {
  return jsonWith(value, (file) => `await picture(${JSON.stringify(file)})`, 2);
}

/** JSON within single quotes for a shell; pictures are read from their files in between. */
export function shellJson(value: Json): string {
  const plain = jsonWith(value, (file) => `"${READ}${file}${READ}"`);
  const [first = "", ...rest] = plain.split(READ);
  const parts = rest.map((part, index) =>
    index % 2 === 0 ? `data:image/png;base64,'"$(base64 < ${fileWord(part)} | tr -d '\\n')"'` : escaped(part),
  );
  return `'${[escaped(first), ...parts].join("")}'`;
}

/** In no JSON: there it is written as an escape. */
const READ = "\0";

function escaped(text: string): string {
  return quoted(text).slice(1, -1);
}

function fileWord(file: string): string {
  return /^[\w.-]+$/.test(file) ? file : quoted(file);
}

export function hasPictures(value: Json): boolean {
  if (typeof value !== "object" || value === null) return isPicture(value);
  return Object.values(value).some(hasPictures);
}
