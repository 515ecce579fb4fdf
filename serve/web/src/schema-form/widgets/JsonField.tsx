/** Anything, as JSON: what is no JSON yet stays in the field, and is not passed on. */
import { useState } from "react";

import type { Json } from "@/api/types";
import { strings } from "@/strings";
import { TextArea } from "@/ui/fields";

import { isSame } from "../values";
import { hintOf, type WidgetProps } from "./props";

export function JsonField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const [written, setWritten] = useState<string | null>(null);
  const parsed = written === null ? undefined : parse(written);
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
      value={isOwn ? written : value === null ? "" : JSON.stringify(value, null, 2)}
      onChange={(event) => {
        const text = event.target.value;
        setWritten(text);
        const next = parse(text);
        if (next !== undefined) onChange(next);
      }}
    />
  );
}

function parse(text: string): Json | undefined {
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}
