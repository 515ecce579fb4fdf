/** Frames behind the cards that belong together; a frame is as large as its cards need, and moves them all. */
import { useReactFlow, useStore, ViewportPortal } from "@xyflow/react";
import { memo, useRef } from "react";

import { groupsOf, setGroup } from "@/editor/core/placing";
import type { Group } from "@/editor/core/types";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { TextField } from "@/ui/fields";

import { edit, isReadOnly, select } from "./commands";
import { moveNodes } from "@/editor/core/placing";
import { openGroupMenu } from "./menus";
import { currentDoc, useEditor } from "./opened";
import { useCanvasView } from "./view";

const words = strings.editor.canvas;
const MARGIN = 16;
const TITLE = 28;

export function GroupFrames() {
  const groups = useEditor((store) => store.document.layout?.groups);
  return (
    <>
      <ViewportPortal>
        {groups?.map((group, index) => (
          <Frame key={index} group={group} index={index} />
        ))}
      </ViewportPortal>
      <NamingDialog />
    </>
  );
}

/** "x y width height" of the cards in the group: text, so that frames are drawn anew only when it changes. */
function useBounds(names: readonly string[]): string {
  return useStore(({ nodeLookup }) => {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const name of names) {
      const node = nodeLookup.get(name);
      if (node === undefined) continue;
      const { x, y } = node.internals.positionAbsolute;
      left = Math.min(left, x);
      top = Math.min(top, y);
      right = Math.max(right, x + (node.measured.width ?? 0));
      bottom = Math.max(bottom, y + (node.measured.height ?? 0));
    }
    return left === Infinity ? "" : [left, top, right - left, bottom - top].join(" ");
  });
}

const Frame = memo(function Frame({ group, index }: { group: Group; index: number }) {
  const names = group.nodes ?? [];
  const bounds = useBounds(names);
  const drag = useFrameDrag(names);
  if (bounds === "") return null;
  const [x = 0, y = 0, width = 0, height = 0] = bounds.split(" ").map(Number);
  const title = group.title || words.group.untitled;
  const tint = /^(#[0-9a-f]{3,8}|[a-z]+)$/i.test(group.color ?? "") ? group.color : undefined;
  return (
    <div
      className="group-frame pointer-events-none absolute rounded-lg border border-line-strong"
      style={{
        transform: `translate(${String(x - MARGIN)}px, ${String(y - MARGIN - TITLE)}px)`,
        width: width + 2 * MARGIN,
        height: height + 2 * MARGIN + TITLE,
        borderColor: tint,
        background: `color-mix(in srgb, ${tint ?? "var(--fg-faint)"} 7%, transparent)`,
      }}
    >
      <button
        type="button"
        aria-label={words.group.label(title)}
        className="nopan pointer-events-auto flex h-7 w-full cursor-grab items-center rounded-t-lg px-3 text-left text-sm font-medium text-muted"
        onClick={() => {
          select(names);
        }}
        onDoubleClick={(event) => {
          event.stopPropagation();
          if (!isReadOnly()) useCanvasView.getState().set({ naming: index });
        }}
        onContextMenu={(event) => {
          event.preventDefault();
          event.stopPropagation();
          openGroupMenu(index, title, { x: event.clientX, y: event.clientY });
        }}
        {...drag}
      >
        <span className="truncate">{title}</span>
      </button>
    </div>
  );
});

/** Dragging the title moves all cards within; the document is told when it ends. */
function useFrameDrag(names: readonly string[]) {
  const { getNode, updateNode, getZoom } = useReactFlow();
  const from = useRef<{ x: number; y: number; places: Map<string, { x: number; y: number }> } | null>(null);
  return {
    onPointerDown: (event: React.PointerEvent<HTMLElement>) => {
      if (event.button !== 0 || isReadOnly()) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      const places = new Map(names.flatMap((name) => [[name, getNode(name)?.position ?? { x: 0, y: 0 }] as const]));
      from.current = { x: event.clientX, y: event.clientY, places };
    },
    onPointerMove: (event: React.PointerEvent) => {
      if (from.current === null) return;
      const { x, y, places } = from.current;
      const [across, down] = [(event.clientX - x) / getZoom(), (event.clientY - y) / getZoom()];
      for (const [name, at] of places) updateNode(name, { position: { x: at.x + across, y: at.y + down } });
    },
    onPointerUp: (event: React.PointerEvent) => {
      const started = from.current;
      from.current = null;
      if (started === null || (started.x === event.clientX && started.y === event.clientY)) return;
      const [across, down] = [(event.clientX - started.x) / getZoom(), (event.clientY - started.y) / getZoom()];
      const moved = [...started.places].map(([name, at]) => [
        name,
        { x: Math.round(at.x + across), y: Math.round(at.y + down) },
      ]);
      edit(moveNodes(Object.fromEntries(moved)), words.edits.move);
    },
  };
}

function NamingDialog() {
  const index = useCanvasView((view) => view.naming);
  const close = () => {
    useCanvasView.getState().set({ naming: null });
  };
  return (
    <Dialog open={index !== null} onClose={close} title={words.acts.renameGroup}>
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          const title = new FormData(event.currentTarget).get("title");
          if (index !== null)
            edit(setGroup(index, { title: typeof title === "string" ? title : "" }), words.edits.title);
          close();
        }}
      >
        <TextField
          label={words.acts.groupTitle}
          name="title"
          autoFocus
          maxLength={120}
          defaultValue={index === null ? "" : (groupsOf(currentDoc())[index]?.title ?? "")}
        />
        <Button kind="primary" type="submit" className="self-end">
          {words.acts.renameGroup}
        </Button>
      </form>
    </Dialog>
  );
}
