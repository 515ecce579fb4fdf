/** Pure: which inputs a card shows, and what it says of their values in a word or two. */
import type { Json, NodeSpec } from "@/api/types";
import { strings } from "@/strings";

import type { CardPort } from "./graph";

const words = strings.editor.canvas;

/** Where an input's value comes from. */
export type Given =
  | { by: "nothing" }
  | { by: "value"; value: Json }
  | { by: "link"; node: string; port: string }
  | { by: "input"; name: string }
  /** References stand somewhere inside the value. */
  | { by: "parts"; count: number; value: Json };

export interface InputRow {
  port: CardPort;
  given: Given;
}

const MAX_ROWS = 6;
const MAX_TEXT = 60;

export function givenOf(value: Json | undefined): Given {
  if (value === undefined) return { by: "nothing" };
  const own = referenceOf(value);
  if (own) return own;
  const count = numReferences(value);
  return count > 0 ? { by: "parts", count, value } : { by: "value", value: unwrapped(value) };
}

function referenceOf(value: Json): Given | null {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const [reference, input] = [value["$ref"], value["$input"]];
  if (Array.isArray(reference)) return { by: "link", node: String(reference[0]), port: String(reference[1]) };
  return typeof input === "string" ? { by: "input", name: input } : null;
}

function unwrapped(value: Json): Json {
  const isWrapped = value !== null && typeof value === "object" && !Array.isArray(value) && "$literal" in value;
  return isWrapped ? (value["$literal"] ?? null) : value;
}

export function numReferences(value: Json): number {
  if (value === null || typeof value !== "object") return 0;
  if (!Array.isArray(value)) {
    if ("$literal" in value) return 0;
    if (referenceOf(value)) return 1;
  }
  return Object.values(value).reduce((sum: number, inner) => sum + numReferences(inner), 0);
}

/** The rows of a card: what is linked, exposed, set or needed; with `isSpread` everything, and the rest counted. */
export function rowsOf(
  inputs: readonly CardPort[],
  node: NodeSpec,
  isSpread: boolean,
): { rows: InputRow[]; rest: number } {
  const given = node.inputs ?? {};
  const all = inputs.map((port) => ({ port, given: givenOf(given[port.name] as Json | undefined) }));
  if (isSpread) return { rows: all, rest: 0 };
  const wanted = all.filter((row) => row.given.by !== "nothing" || row.port.required);
  const shown = wanted.length > 0 ? wanted : all;
  const kept = new Set(shown.filter((row, index) => index < MAX_ROWS || isJoined(row.given)));
  const rows = all.filter((row) => kept.has(row));
  return { rows, rest: all.length - rows.length };
}

/** The outputs of a card: the first, and those that go somewhere. */
export function outputsShown(
  all: readonly CardPort[],
  used: ReadonlySet<string>,
  isSpread: boolean,
): readonly CardPort[] {
  if (isSpread || all.length <= 2) return all;
  const shown = all.filter((port) => used.has(port.name));
  return shown.length > 0 ? shown : all.slice(0, 1);
}

function isJoined(given: Given): boolean {
  return given.by === "link" || given.by === "input" || given.by === "parts";
}

/** "25", "“a lighthouse”", "3 items", "picture". */
export function shortValue(value: Json): string {
  if (value === null) return "–";
  if (typeof value === "boolean") return value ? words.yes : words.no;
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return shortText(value);
  if (Array.isArray(value)) return value.length === 1 ? shortValue(value[0] ?? null) : words.items(value.length);
  if (typeof value["name"] === "string") return shortText(value["name"]);
  return "asset" in value || "url" in value || "id" in value ? words.picture : "{ }";
}

function shortText(text: string): string {
  if (/^(asset_|https?:|data:)/.test(text)) return words.picture;
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT - 1)}…` : line;
}
