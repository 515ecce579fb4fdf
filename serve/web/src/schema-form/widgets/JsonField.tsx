/** Anything, as JSON: what is no JSON yet stays in the field, and is not passed on. Words may be written without quotes. */
import { useState } from "react";

import type { InputSchema, Json } from "@/api/types";
import { strings } from "@/strings";
import { TextArea } from "@/ui/fields";

import { isSame } from "../values";
import { hintOf, type WidgetProps } from "./props";

export function JsonField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const [written, setWritten] = useState<string | null>(null);
  const takesWords = mayBe(field.schema, "string");
  const parsed = written === null ? undefined : parse(written, takesWords);
  // What was written counts while it means the value, or nothing yet; a value that came from elsewhere is shown instead.
  const isOwn = written !== null && (parsed === undefined || isSame(parsed, value));
  return (
    <TextArea
      label={field.title}
      hint={hintOf(props)}
      error={isOwn && parsed === undefined ? strings.forms.badJson : error}
      disabled={context.disabled}
      spellCheck={false}
      className="font-mono text-sm"
      rows={4}
      value={isOwn ? written : textOf(value, takesWords)}
      onChange={(event) => {
        const text = event.target.value;
        setWritten(text);
        const next = parse(text, takesWords);
        if (next !== undefined) onChange(next);
      }}
    />
  );
}

/** A field that says nothing of types takes all of them. */
function mayBe({ type, anyOf }: InputSchema, wanted: string): boolean {
  if (anyOf) return anyOf.some((one) => mayBe(one, wanted));
  return type === undefined || type === wanted || (Array.isArray(type) && type.includes(wanted));
}

function parse(text: string, takesWords: boolean): Json | undefined {
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    // What begins like JSON is going to be some.
    return takesWords && !/^\s*["[{]/.test(text) ? text : undefined;
  }
}

/** A text without its quotes, where it would be read as the same text. */
function textOf(value: Json, takesWords: boolean): string {
  if (value === null) return "";
  if (typeof value === "string" && parse(value, takesWords) === value) return value;
  return JSON.stringify(value, null, 2);
}
