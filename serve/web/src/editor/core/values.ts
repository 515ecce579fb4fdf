/**
 * Values as documents write them: JSON with `{"$ref": [node, port]}`, `{"$input": name}` and `{"$literal": value}` at any
 * depth. They are read as the server reads them (`serve/workflow/compiling/references.py`): a marked object with anything
 * beside its mark is no reference.
 */
import type { Json } from "@/api/types";

import type { Path, Source } from "./types";

export const MAX_DEPTH = 16;
const MARKS = ["$ref", "$input", "$literal"];

export type Reference = { kind: "node"; node: string; port: string } | { kind: "input"; name: string };

export interface Part {
  path: Path;
  reference: Reference;
}

type JsonObject = { [key: string]: Json };

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function refTo({ node, port }: Source): Json {
  return { $ref: [node, port] };
}

export function inputRef(name: string): Json {
  return { $input: name };
}

/** What `value` refers to as a whole. */
export function referenceOf(value: Json | undefined): Reference | null {
  if (!isObject(value)) return null;
  const keys = Object.keys(value);
  if (keys.length !== 1) return null;
  const inner = value[keys[0] as string];
  if (keys[0] === "$input") return typeof inner === "string" ? { kind: "input", name: inner } : null;
  if (keys[0] !== "$ref" || !Array.isArray(inner) || inner.length !== 2) return null;
  const [node, port] = inner;
  return typeof node === "string" && typeof port === "string" ? { kind: "node", node, port } : null;
}

function isMarked(value: JsonObject): boolean {
  return MARKS.some((mark) => Object.hasOwn(value, mark));
}

/** The references in a value with their places. */
export function partsOf(value: Json | undefined, path: Path = []): Part[] {
  if (typeof value !== "object" || value === null || path.length > MAX_DEPTH) return [];
  const reference = referenceOf(value);
  if (reference !== null) return [{ path, reference }];
  if (Array.isArray(value)) return value.flatMap((item, index) => partsOf(item, [...path, index]));
  if (isMarked(value)) return [];
  return Object.entries(value).flatMap(([key, item]) => partsOf(item, [...path, key]));
}

/** Whether something is written down whole: no reference is in it. */
export function isWritten(value: Json | undefined): boolean {
  return value !== undefined && value !== null && partsOf(value).length === 0;
}

/** What a value means that has no references: `$literal` taken off, at any depth. */
export function plainOf(value: Json): Json {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(plainOf);
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "$literal") return value["$literal"] as Json;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plainOf(item)]));
}

/** `value` as documents write it: what would read as a reference is marked as a literal. */
export function writtenOf(value: Json): Json {
  return hasMarks(value) ? { $literal: value } : value;
}

function hasMarks(value: Json): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(hasMarks);
  return isMarked(value) || Object.values(value).some(hasMarks);
}

/** Each reference replaced: by another value, or by nothing (`undefined`; see `withoutAt`). Shares what has none. */
export function mapReferences(
  value: Json | undefined,
  change: (reference: Reference, whole: Json) => Json | undefined,
): Json | undefined {
  let next = value;
  // From the last to the first: what is taken out of a list moves what comes after it.
  for (const { path, reference } of partsOf(value).reverse()) {
    const whole = at(next, path) as Json;
    const changed = change(reference, whole);
    if (changed === whole) continue;
    next = changed === undefined ? withoutAt(next, path) : withAt(next, path, changed);
  }
  return next;
}

export function at(value: Json | undefined, path: Path): Json | undefined {
  let found = value;
  for (const step of path) {
    if (Array.isArray(found)) found = found[Number(step)];
    else found = isObject(found) && Object.hasOwn(found, step) ? found[step] : undefined;
  }
  return found;
}

/** `value` with `part` at `path`; at the end of a list it is added. */
export function withAt(value: Json | undefined, path: Path, part: Json): Json {
  const [step, ...rest] = path;
  if (step === undefined) return part;
  if (Array.isArray(value)) {
    const index = Math.min(Number(step), value.length);
    return [...value.slice(0, index), withAt(value[index], rest, part), ...value.slice(index + 1)];
  }
  const known = isObject(value) ? value : {};
  return { ...known, [step]: withAt(Object.hasOwn(known, step) ? known[step] : undefined, rest, part) };
}

/** `value` without what is at `path`: taken out of a list, null within an object; nothing where nothing is left. */
export function withoutAt(value: Json | undefined, path: Path): Json | undefined {
  const last = path.at(-1);
  if (last === undefined) return undefined;
  const above = path.slice(0, -1);
  const holder = at(value, above);
  if (Array.isArray(holder)) {
    const rest = holder.filter((_, index) => index !== last);
    return rest.length === 0 && above.length === 0 ? undefined : withAt(value, above, rest);
  }
  return holder === undefined ? value : withAt(value, path, null);
}
