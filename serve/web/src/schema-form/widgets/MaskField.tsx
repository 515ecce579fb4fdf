/** A mask: painted over the form's picture, or a file like any other. */
import { Brush } from "lucide-react";
import { useState } from "react";

import { sourceOf } from "@/media/assets";
import { strings } from "@/strings";
import { Button } from "@/ui/button";

import { ImageField } from "./ImageField";
import { MaskEditor } from "./MaskEditor";
import type { WidgetProps } from "./props";
import { useTaking } from "./useTaking";

export function MaskField(props: WidgetProps) {
  const { value, onChange, context } = props;
  const [isOpen, setOpen] = useState(false);
  const taking = useTaking(onChange);
  const words = strings.forms;
  const picture = pictureOf(props);
  const current = typeof value === "string" ? sourceOf(value) : null;
  return (
    <div className="flex flex-col gap-1">
      <ImageField {...props} error={props.error ?? taking.fault ?? undefined} />
      <Button
        className="self-start"
        disabled={context.disabled || picture === null}
        onClick={() => {
          setOpen(true);
        }}
      >
        <Brush size={14} aria-hidden />
        {value === null ? words.paintMask : words.editMask}
      </Button>
      {picture === null && <p className="text-sm text-faint">{words.maskNeedsImage}</p>}
      {picture !== null && isOpen && (
        <MaskEditor
          picture={picture}
          mask={current}
          onClose={() => {
            setOpen(false);
          }}
          onMask={(mask) => {
            setOpen(false);
            void taking.take(mask);
          }}
        />
      )}
    </div>
  );
}

/** What is painted over: the form's first picture that the page can show. */
function pictureOf({ context }: WidgetProps): string | null {
  const field = context.fields.find((one) => one.widget === "image");
  const value = field === undefined ? null : context.values[field.name];
  return typeof value === "string" && value !== "" ? sourceOf(value) : null;
}
