/** JSON as people write it: words need no quotes where a text is taken. */
import type { InputSchema, Json } from "@/api/types";

/** A field that says nothing of types takes all of them. */
export function takes({ type, anyOf }: InputSchema, wanted: string): boolean {
  if (anyOf) return anyOf.some((one) => takes(one, wanted));
  return type === undefined || type === wanted || (Array.isArray(type) && type.includes(wanted));
}

export function parse(text: string, takesWords: boolean): Json | undefined {
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    // What begins like JSON is going to be some.
    return takesWords && !/^\s*["[{]/.test(text) ? text : undefined;
  }
}

/** A text without its quotes, where it would be read as the same text. */
export function textOf(value: Json, takesWords: boolean): string {
  if (value === null) return "";
  if (typeof value === "string" && parse(value, takesWords) === value) return value;
  return JSON.stringify(value, null, 2);
}
