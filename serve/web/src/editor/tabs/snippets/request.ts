/** Pure: the call that the snippets make, from what a workflow is called with and the values that are set. */
import type { InputSchema, Json } from "@/api/types";

export type Way = "wait" | "poll" | "stream" | "webhook";
export type Language = "curl" | "python" | "pythonPlain" | "javascript";

export interface ObjectSchema extends InputSchema {
  required?: string[];
}

export interface SnippetRequest {
  /** `https://models.example.com`, without a slash at its end. */
  origin: string;
  /** `banner`, `banner@3`, `banner@draft`. */
  address: string;
  /** What is sent as JSON, by input. */
  values: Record<string, Json>;
  /** Inputs that get a file of the caller's, with its name: the call is a form then. */
  files: Record<string, string>;
  /** The output that is shown first. A file is saved under `file`; of anything else that is null. */
  output: { name: string; isList: boolean; file: string | null } | null;
}

const SENT: Record<string, string> = { image: "picture.png", mask: "mask.png", audio: "sound.wav", video: "film.mp4" };
const SAVED: Record<string, string> = { image: "png", mask: "png", audio: "wav", video: "mp4" };

export function requestOf(
  origin: string,
  address: string,
  inputs: ObjectSchema | null,
  outputs: ObjectSchema | null,
  values: Readonly<Record<string, Json>>,
): SnippetRequest {
  const request: SnippetRequest = { origin, address, values: {}, files: {}, output: outputOf(outputs) };
  const required = new Set(inputs?.required ?? []);
  for (const [name, schema] of Object.entries(inputs?.properties ?? {})) {
    const value = shownValue(schema, values[name]);
    const file = SENT[formatOf(schema) ?? ""];
    if (value !== null) request.values[name] = value;
    else if (required.has(name) && file !== undefined) request.files[name] = file;
    else if (required.has(name)) request.values[name] = exampleOf(name, schema);
  }
  return request;
}

/** What was set by hand, if it fits in a snippet; else the default. */
function shownValue(schema: InputSchema, value: Json | undefined): Json | null {
  if (value === undefined || value === null || value === "") return schema.default ?? null;
  return holdsFile(value) ? null : value;
}

function holdsFile(value: Json): boolean {
  if (Array.isArray(value)) return value.some(holdsFile);
  return typeof value === "string" && (value.startsWith("data:") || value.startsWith("asset:"));
}

function formatOf(schema: InputSchema): string | undefined {
  return schema.format ?? schema.items?.format;
}

function typeOf({ type }: InputSchema): string | undefined {
  return Array.isArray(type) ? type.find((one) => one !== "null") : type;
}

/** A value that fits the schema. */
export function exampleOf(name: string, schema: InputSchema): Json {
  if (schema.enum?.[0] !== undefined) return schema.enum[0];
  switch (typeOf(schema)) {
    case "number":
    case "integer":
      return schema.minimum ?? 1;
    case "boolean":
      return true;
    case "array":
      return schema.items === undefined ? [] : [exampleOf(name, schema.items)];
    case "object":
      return {};
    default:
      return (schema.title ?? name).slice(0, schema.maxLength ?? 200);
  }
}

function outputOf(outputs: ObjectSchema | null): SnippetRequest["output"] {
  const all = Object.entries(outputs?.properties ?? {});
  const [name, schema] = all.find(([, one]) => one["x-primary"] === true) ?? all[0] ?? [];
  if (name === undefined || schema === undefined) return null;
  const ending = SAVED[formatOf(schema) ?? ""];
  return { name, isList: typeOf(schema) === "array", file: ending === undefined ? null : `${name}.${ending}` };
}

export function isForm(request: SnippetRequest): boolean {
  return Object.keys(request.files).length > 0;
}

export function urlOf(request: SnippetRequest): string {
  return `${request.origin}/v1/workflows/${request.address}/runs`;
}

/** A value as a part of a form: texts as they are, the rest as JSON. */
export function asPart(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
