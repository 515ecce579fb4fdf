/** Anything, as JSON: what is no JSON yet stays in the field, and is not passed on. Words may be written without quotes. */
import { useState } from "react";

import { strings } from "@/strings";
import { TextArea } from "@/ui/fields";

import { parse, takes, textOf } from "../json-text";
import { isSame } from "../values";
import { hintOf, type WidgetProps } from "./props";

export function JsonField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const [written, setWritten] = useState<string | null>(null);
  const takesWords = takes(field.schema, "string");
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
