/** Words on the canvas: read, and written in place after a double-click or Enter. */
import { type Node, type NodeProps, NodeResizeControl } from "@xyflow/react";
import { memo, useEffect, useState } from "react";

import { noteIndex, setNote } from "@/editor/core/placing";
import { strings } from "@/strings";
import { classes } from "@/ui/classes";

import { edit, isReadOnly } from "./commands";
import { useNotes } from "./graph";
import { useCanvasView } from "./view";
import { focusNode } from "./viewport";

const words = strings.editor.canvas;

export type NoteNode = Node<Record<string, never>, "note">;

export const NoteCard = memo(
  function NoteCard({ id, selected }: NodeProps<NoteNode>) {
    const index = noteIndex(id) ?? -1;
    const note = useNotes()[index];
    const [isEditing, setEditing] = useState(() => useCanvasView.getState().writing === id);
    useEffect(() => {
      if (useCanvasView.getState().writing === id) useCanvasView.getState().set({ writing: null });
    }, [id]);
    if (note === undefined) return null;
    const write = () => {
      setEditing(!isReadOnly());
    };
    return (
      <div
        className={classes(
          "h-full overflow-hidden rounded-md border bg-surface p-2.5 text-sm text-muted",
          selected ? "border-accent" : "border-dashed border-line-strong",
        )}
        onDoubleClick={write}
      >
        {isEditing ? (
          <textarea
            autoFocus
            aria-label={words.note.edit}
            defaultValue={note.text}
            maxLength={4000}
            className="nodrag nowheel nopan h-full w-full resize-none bg-transparent text-fg outline-none"
            onFocus={(event) => {
              if (event.target.value === words.add.newNote) event.target.select();
            }}
            onBlur={(event) => {
              setEditing(false);
              edit(setNote(index, { text: event.target.value }), words.edits.note);
            }}
            onKeyDown={(event) => {
              event.stopPropagation();
              if (event.key !== "Escape") return;
              event.currentTarget.blur();
              focusNode(id);
            }}
          />
        ) : (
          <p className="whitespace-pre-wrap">{note.text || words.note.empty}</p>
        )}
        {selected && !isEditing && !isReadOnly() && (
          <button
            type="button"
            className="nodrag absolute right-1 bottom-full mb-1 text-xs text-faint hover:text-fg"
            onClick={write}
          >
            {words.note.edit}
          </button>
        )}
        {selected && !isReadOnly() && (
          <NodeResizeControl
            minWidth={96}
            minHeight={48}
            onResizeEnd={(_event, { x, y, width, height }) => {
              edit(setNote(index, { x, y, width: Math.round(width), height: Math.round(height) }), words.edits.note);
            }}
          />
        )}
      </div>
    );
  },
  (before, after) => before.id === after.id && before.selected === after.selected,
);
