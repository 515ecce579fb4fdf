/** Links to a playground with its parameters: in the URL's fragment, which no server is sent. Never keys, never pictures. */
import type { Json, Task } from "@/api/types";
import { ADAPTERS, type FormField, type Values } from "@/schema-form/fields";
import { checkValue } from "@/schema-form/checks";
import { isSame } from "@/schema-form/values";

export interface Shared {
  task: Task;
  values: Values;
}

const MARK = "#with=";
const PICTURES = new Set(["image", "mask", "audio", "video"]);

/** The fragment for these values; what is the default is left out. */
export function fragmentOf(task: Task, fields: FormField[], values: Values): string {
  const told: Values = {};
  for (const { name, schema, widget } of fields) {
    const value = values[name];
    if (value === undefined || value === null || PICTURES.has(widget ?? "")) continue;
    if (!isSame(value, schema.default)) told[name] = value;
  }
  return fragmentWith(task, told);
}

/** The fragment for values that somebody else chose, as the pages of adapters and runs do. */
export function fragmentWith(task: Task, values: Values): string {
  return MARK + encodeURIComponent(JSON.stringify({ task, values }));
}

/** What a fragment says, as far as it can be read. It was written by somebody else: see `accepted`. */
export function sharedIn(fragment: string): Shared | null {
  if (!fragment.startsWith(MARK)) return null;
  try {
    const read = JSON.parse(decodeURIComponent(fragment.slice(MARK.length))) as Json;
    if (typeof read !== "object" || read === null || Array.isArray(read)) return null;
    const { task, values } = read as { task?: Json; values?: Json };
    if (typeof task !== "string" || typeof values !== "object" || values === null || Array.isArray(values)) return null;
    return { task: task as Task, values: values as Values };
  } catch {
    return null;
  }
}

/** Of `values` what the form has a field for, and what that field takes; from a link never a picture. */
export function accepted(fields: FormField[], values: Values, withPictures = false): Values {
  const taken: Values = {};
  for (const field of fields) {
    const value = values[field.name];
    if (value === undefined || value === null) continue;
    if (!withPictures && PICTURES.has(field.widget ?? "")) continue;
    if (field.name === ADAPTERS ? areAdapters(value) : checkValue(field, value) === null) taken[field.name] = value;
  }
  return taken;
}

function areAdapters(value: Json): boolean {
  return (
    Array.isArray(value) &&
    value.every((one) => {
      if (typeof one !== "object" || one === null || Array.isArray(one)) return false;
      const { name, scale } = one as { name?: Json; scale?: Json };
      return typeof name === "string" && (scale === undefined || typeof scale === "number");
    })
  );
}
