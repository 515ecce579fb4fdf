/** The workflow in words, for whoever does not use the canvas: nodes in the order in which they run, their links, and every act on them. */
import { X } from "lucide-react";
import { useEffect, useMemo, useRef } from "react";

import { setNote } from "@/editor/core/placing";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { TextArea } from "@/ui/fields";

import { openPalette } from "./adding";
import { edit, isReadOnly } from "./commands";
import { useNotes, useOrder } from "./graph";
import { OutlineItem } from "./OutlineItem";
import { useCanvasView } from "./view";

const words = strings.editor.canvas;

export function Outline() {
  const isOpen = useCanvasView((view) => view.isOutlineOpen);
  return isOpen ? <OpenOutline /> : null;
}

function OpenOutline() {
  const order = useOrder();
  const list = useRef<HTMLOListElement>(null);
  const close = () => {
    useCanvasView.getState().set({ isOutlineOpen: false });
  };
  useEffect(() => {
    focusItem(list.current, 0);
  }, []);
  const places = useMemo(() => new Map(order.map((name, index) => [name, index])), [order]);
  return (
    // Escape closes the panel wherever the focus is within; its button does the same.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <section
      aria-label={words.outline.label}
      className="flex w-80 shrink-0 flex-col gap-3 overflow-y-auto border-r border-line bg-surface p-3"
      onKeyDown={(event) => {
        if (event.key === "Escape") close();
      }}
    >
      <div className="flex items-center justify-between">
        <h2 className="font-semibold">{words.outline.label}</h2>
        <IconButton label={words.outline.close} onClick={close}>
          <X size={14} aria-hidden />
        </IconButton>
      </div>
      <p className="text-sm text-faint">{words.outline.intro}</p>
      {order.length === 0 && <p className="text-muted">{words.outline.empty}</p>}
      <ol ref={list} aria-label={words.outline.list} className="flex flex-col gap-1">
        {order.map((name) => (
          <OutlineItem
            key={name}
            name={name}
            onStep={(step) => {
              focusItem(list.current, (places.get(name) ?? 0) + step);
            }}
          />
        ))}
      </ol>
      {!isReadOnly() && (
        <Button onClick={openPalette} className="self-start">
          {words.outline.add}
        </Button>
      )}
      <Notes />
    </section>
  );
}

function focusItem(list: HTMLElement | null, index: number): void {
  const items = [...(list?.querySelectorAll<HTMLElement>("[data-outline]") ?? [])];
  items[Math.max(0, Math.min(items.length - 1, index))]?.focus();
}

function Notes() {
  const notes = useNotes();
  if (notes.length === 0) return null;
  return (
    <section className="flex flex-col gap-2 border-t border-line pt-3">
      <h3 className="text-sm font-semibold">{words.outline.notes}</h3>
      {notes.map((note, index) => (
        <TextArea
          key={index}
          label={`${words.note.label} ${String(index + 1)}`}
          value={note.text}
          maxLength={4000}
          disabled={isReadOnly()}
          onChange={(event) => {
            edit(setNote(index, { text: event.target.value }), words.edits.note, `note:${String(index)}`);
          }}
        />
      ))}
    </section>
  );
}
