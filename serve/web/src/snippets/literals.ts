/** Values as other languages write them: for the calls that people take along, whatever page they are on. */
import type { Json } from "@/api/types";

/** `text` as one word of a shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A JSON value as Python writes it. JSON's escapes are Python's, but for the words true, false and null. */
export function pythonic(value: Json): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonic).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([name, one]) => `${JSON.stringify(name)}: ${pythonic(one)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}
