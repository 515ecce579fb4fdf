/** Forms as lists of fields, whatever they come from: a model's card, a node's ports, a workflow's interface. */
import type { Card, InputSchema, Json, Schemas, Task } from "@/api/types";
import type { Port } from "@/editor/node-types";
import { strings } from "@/strings";

export type WorkflowInput = Schemas["WorkflowInput"];
export type Values = Record<string, Json>;

/** One input of a form. `widget` is how it is entered: see `widgetOf`. */
export interface FormField {
  name: string;
  schema: InputSchema;
  required: boolean;
  title: string;
  description: string;
  group?: string;
  order?: number;
  advanced?: boolean;
  widget?: string;
}

/** How the API says that a form shows a value (`x-ui`). */
interface Look {
  widget?: string;
  group?: string;
  order?: number;
  advanced?: boolean;
}

/** The adapters of a run stand beside its inputs; in a form they are one field, by this name. */
export const ADAPTERS = "adapters";

/** What a model takes for `task`, its adapters included. */
export function fieldsOfCard(card: Card, task: Task): FormField[] {
  const fields = fieldsOfSchema((card.inputs[task] ?? {}) as InputSchema & { required?: string[] });
  return card.adapters.enabled ? [...fields, adaptersField(card.adapters.max_per_call)] : fields;
}

/** The properties of an object's schema, in the order in which a form shows them. */
export function fieldsOfSchema(schema: InputSchema & { required?: string[] }): FormField[] {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, one]) => fieldOf(name, one, required.has(name)));
  return ordered(fields);
}

/** The inputs of a node type. */
export function fieldsOfPorts(ports: Port[]): FormField[] {
  return ordered(
    ports.map((port) => {
      const schema = port.schema ?? {};
      const field = fieldOf(port.name, schema, port.required ?? false);
      return { ...field, title: port.title ?? field.title, description: port.description ?? field.description };
    }),
  );
}

/** The inputs of a workflow's interface, as its document has them. A checked version's `inputs` says more: prefer it. */
export function fieldsOfInterface(inputs: WorkflowInput[]): FormField[] {
  return ordered(inputs.map(fieldOfInput));
}

function fieldOfInput(input: WorkflowInput, index: number): FormField {
  const { constraints, ui } = input;
  const bounds: InputSchema = {};
  if (constraints?.minimum != null) bounds.minimum = constraints.minimum;
  if (constraints?.maximum != null) bounds.maximum = constraints.maximum;
  if (constraints?.multipleOf != null) bounds.multipleOf = constraints.multipleOf;
  if (constraints?.maxLength != null) bounds.maxLength = constraints.maxLength;
  if (constraints?.maxItems != null) bounds.maxItems = constraints.maxItems;
  if (constraints?.enum != null) bounds.enum = constraints.enum as Json[];
  const base = schemaOfType(input.type, constraints?.integer ?? false);
  const fallback = (input.default ?? null) as Json;
  const look = { widget: ui?.widget ?? undefined, group: ui?.group ?? "", order: ui?.order ?? index };
  const schema: InputSchema = { ...base, ...bounds, "x-ui": { ...look, advanced: ui?.advanced ?? false } };
  if (fallback !== null) schema.default = fallback;
  const field = fieldOf(input.name, schema, fallback === null && !input.optional);
  return { ...field, title: input.title || field.title, description: input.description ?? "" };
}

/** The schema of a port type: `text`, `list[image]`, ... */
export function schemaOfType(type: string, isInteger = false): InputSchema {
  const item = /^list\[(.*)\]$/.exec(type)?.[1];
  if (item !== undefined) return { type: "array", items: schemaOfType(item, isInteger) };
  if (type === "text") return { type: "string" };
  if (type === "number") return { type: isInteger ? "integer" : "number" };
  if (type === "boolean") return { type: "boolean" };
  if (type === "json") return {};
  if (type === "embedding") return { type: "array", items: { type: "number" } };
  return { type: "string", format: type };
}

function adaptersField(maximum: number): FormField {
  const schema: InputSchema = { type: "array", items: { format: "adapter" }, maxItems: maximum, default: [] };
  const { adapters, adaptersHint } = strings.forms;
  return {
    name: ADAPTERS,
    schema,
    required: false,
    title: adapters,
    description: adaptersHint(maximum),
    group: adapters,
    order: 25.5,
    advanced: false,
    widget: "adapters",
  };
}

function fieldOf(name: string, schema: InputSchema, required: boolean): FormField {
  const look = (schema["x-ui"] ?? {}) as Look;
  const plain = plainOf(schema);
  return {
    name,
    schema,
    required,
    title: schema.title ?? titled(name),
    description: schema.description ?? "",
    group: look.group ?? "",
    order: look.order,
    advanced: look.advanced ?? false,
    widget: look.widget ?? widgetOf(name, plain),
  };
}

function titled(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function ordered(fields: FormField[]): FormField[] {
  return fields
    .map((field, index) => ({ field, at: field.order ?? index }))
    .sort((a, b) => a.at - b.at)
    .map(({ field }) => field);
}

/** The one branch that says something, where the other is null: what may be left out is written so. */
export function plainOf(schema: InputSchema): InputSchema {
  const branches = (schema.anyOf ?? []).filter((one) => one.type !== "null");
  const only = branches[0];
  return branches.length === 1 && only !== undefined ? { ...only, ...schema, anyOf: undefined } : schema;
}

/** Whether nothing (null) is a value of its own. */
export function mayBeNull(schema: InputSchema): boolean {
  if (schema.anyOf?.some((one) => one.type === "null")) return true;
  return Array.isArray(schema.type) ? schema.type.includes("null") : schema.type === "null";
}

export function typeOf(schema: InputSchema): string | undefined {
  const { type } = plainOf(schema);
  return Array.isArray(type) ? type.find((one) => one !== "null") : type;
}

const SLIDER_STEPS = 300;

/** How a value is entered where the API does not say: by its type and bounds. */
export function widgetOf(name: string, schema: InputSchema): string {
  if (schema.enum) return "select";
  if (schema.format === "image" || schema.format === "mask") return schema.format;
  if (schema.format === "adapter" || schema.format === "model") return schema.format;
  const type = typeOf(schema);
  if (name === "seed" && type === "integer") return "seed";
  if (type === "boolean") return "toggle";
  if (type === "integer" || type === "number") return isShort(schema) ? "slider" : "number";
  if (type === "string") return /prompt|system/.test(name) ? "textarea" : "text";
  if (type === "array") return typeOf(schema.items ?? {}) === "string" ? "texts" : "json";
  return "json";
}

/** The least and greatest value that a slider reaches, and the distance between two of them. */
export function rangeOf(schema: InputSchema): { minimum: number; maximum: number; step: number } | null {
  const plain = plainOf(schema);
  const low = plain.minimum ?? plain.exclusiveMinimum;
  const high = plain.maximum ?? plain.exclusiveMaximum;
  if (low === undefined || high === undefined || high <= low) return null;
  const step = plain.multipleOf ?? (typeOf(plain) === "integer" ? 1 : niceStep(high - low));
  const minimum = plain.minimum ?? low + step;
  const maximum = plain.maximum ?? high - step;
  return { minimum, maximum, step };
}

function niceStep(width: number): number {
  return [0.01, 0.05, 0.1, 0.5, 1, 5, 10].find((step) => width / step <= SLIDER_STEPS) ?? width / SLIDER_STEPS;
}

function isShort(schema: InputSchema): boolean {
  const range = rangeOf(schema);
  return range !== null && (range.maximum - range.minimum) / range.step <= SLIDER_STEPS;
}
