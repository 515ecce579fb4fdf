/** Pure: the call that the snippets make, from a workflow's interface and the values that are set. */
import type { Json, Schemas } from "@/api/types";

type WorkflowInput = Schemas["WorkflowInput"];

export type Way = "wait" | "poll" | "stream" | "webhook";
export type Language = "curl" | "python" | "pythonPlain" | "javascript";

export interface SnippetRequest {
  /** `https://models.example.com`, without a slash at its end. */
  origin: string;
  /** `banner`, `banner@3`, `banner@draft`. */
  address: string;
  /** What is sent as JSON, by input. */
  values: Record<string, Json>;
  /** Inputs that get a file of the caller's, with its name: the call is a form then. */
  files: Record<string, string>;
  /** The output that is shown first, and whether it is a picture or another file. */
  output: { name: string; isFile: boolean } | null;
}

const FILES: Record<string, string> = { image: "picture.png", mask: "mask.png", audio: "sound.wav", video: "film.mp4" };

export function requestOf(
  origin: string,
  address: string,
  { inputs = [], outputs = [] }: Schemas["Interface"],
  values: Readonly<Record<string, Json>>,
): SnippetRequest {
  const request: SnippetRequest = { origin, address, values: {}, files: {}, output: null };
  for (const input of inputs) {
    const file = FILES[input.type];
    const value = shownValue(input, values[input.name]);
    if (value !== null) request.values[input.name] = value;
    else if (isRequired(input) && file !== undefined) request.files[input.name] = file;
    else if (isRequired(input)) request.values[input.name] = exampleOf(input);
  }
  const first = outputs.find((one) => one.primary) ?? outputs[0];
  if (first !== undefined) request.output = { name: first.name, isFile: looksLikeFile(first.name) };
  return request;
}

/** What was set by hand, if it fits in a snippet; else the default. */
function shownValue(input: WorkflowInput, value: Json | undefined): Json | null {
  if (value === undefined || value === null || value === "") return (input.default ?? null) as Json;
  return typeof value === "string" && (value.startsWith("data:") || value.startsWith("asset:")) ? null : value;
}

function isRequired(input: WorkflowInput): boolean {
  return (input.default ?? null) === null && !input.optional;
}

/** A value of the input's type that a run takes. */
export function exampleOf({ type, constraints, title, name }: WorkflowInput): Json {
  const choice = constraints?.enum?.[0];
  if (choice !== undefined) return choice as Json;
  if (type.startsWith("list[")) return [];
  if (type === "number") return constraints?.minimum ?? 1;
  if (type === "boolean") return true;
  if (type === "json") return {};
  return title || name;
}

/** The type of an output stands on its node, not in the document: whoever saves it looks at what came. */
function looksLikeFile(name: string): boolean {
  return /image|picture|banner|grid|poster|photo|square|thumbnail|result/.test(name);
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
