/** Keeps the diagram like the document, and tells the document what was done to the diagram by hand. */
import { type Edge, type Node, type OnSelectionChangeFunc, useReactFlow } from "@xyflow/react";
import { useCallback, useEffect, useMemo, useRef } from "react";

import { copy, paste } from "@/editor/core/clipboard";
import { moveNodes, noteIndex } from "@/editor/core/placing";
import { portsOf } from "@/editor/core/ports";
import type { Point } from "@/editor/core/types";
import { wrongLinks } from "@/editor/core/wrong-links";
import type { EditorStore } from "@/editor/store";
import type { NodeType } from "@/editor/node-types";
import { strings } from "@/strings";

import { edit, isReadOnly, select } from "./commands";
import { areSame, edgesFor, nodesFor, type Told } from "./elements";
import { currentDoc, editor } from "./opened";
import { say } from "./view";

const words = strings.editor.canvas;

/** The diagram's first nodes and edges, and the places they were told. */
export function useFirstElements(store: EditorStore, types: readonly NodeType[]) {
  return useMemo(() => {
    const { document, selection, selectedLinks } = store.getState();
    const told: Told = new Map();
    const nodes = nodesFor(document, selection, [], told);
    return {
      nodes,
      edges: edgesFor(document, portsOf(document, types), wrongLinks(document, types), selectedLinks, []),
      told,
    };
    // Once for each store: afterwards changes go over one by one.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [store]);
}

export function useSyncing(store: EditorStore, types: readonly NodeType[], told: Told): void {
  const { getNodes, getEdges, setNodes, setEdges } = useReactFlow();
  useEffect(() => {
    const sync = () => {
      const { document, selection, selectedLinks } = store.getState();
      const [nodes, edges] = [getNodes(), getEdges()];
      const nextNodes = nodesFor(document, selection, nodes, told);
      const nextEdges = edgesFor(document, portsOf(document, types), wrongLinks(document, types), selectedLinks, edges);
      if (!areSame(nodes, nextNodes)) setNodes(nextNodes);
      if (!areSame(edges, nextEdges)) setEdges(nextEdges);
    };
    sync();
    return store.subscribe((now, before) => {
      const isOther =
        now.document !== before.document ||
        now.selection !== before.selection ||
        now.selectedLinks !== before.selectedLinks;
      if (isOther) sync();
    });
  }, [store, types, told, getNodes, getEdges, setNodes, setEdges]);
}

/** What is selected by hand is what the editor has selected. */
export const takeSelection: OnSelectionChangeFunc = ({ nodes, edges }: { nodes: Node[]; edges: Edge[] }) => {
  select(
    nodes.map((node) => node.id),
    edges.map((edge) => edge.id),
  );
};

/** A drag is one step, written down when it ends; with Alt held, what was dragged is a copy. */
export function useDragging(told: Told) {
  const gesture = useRef(0);
  const isDragging = useRef(false);
  const { updateNode } = useReactFlow();
  const start = useCallback(() => {
    gesture.current += 1;
    isDragging.current = true;
  }, []);
  const stop = useCallback(
    (event: MouseEvent | TouchEvent | React.MouseEvent, nodes: readonly Node[]) => {
      isDragging.current = false;
      const places = placesOf(nodes);
      if ("altKey" in event && event.altKey) leaveCopy(places, told, updateNode);
      else edit(moveNodes(places), words.edits.move, `move:${String(gesture.current)}`);
      editor().settle();
    },
    [told, updateNode],
  );
  /** Arrows on the canvas: React Flow has moved the nodes already. */
  const moveByKeys = useCallback((nodes: readonly { id: string; position: Point }[]) => {
    if (nodes.length === 0 || isDragging.current || isReadOnly()) return;
    edit(moveNodes(placesOf(nodes)), words.edits.move, `keys:${nodes.map(({ id }) => id).join()}`);
  }, []);
  return { start, stop, moveByKeys };
}

function placesOf(nodes: readonly { id: string; position: Point }[]): Record<string, Point> {
  const round = (value: number) => Math.round(value * 10) / 10;
  return Object.fromEntries(nodes.map(({ id, position }) => [id, { x: round(position.x), y: round(position.y) }]));
}

/** Copies where the drag ended; what was dragged goes back to where it was. */
function leaveCopy(
  places: Record<string, Point>,
  told: Told,
  updateNode: (id: string, patch: Partial<Node>) => void,
): void {
  for (const id of Object.keys(places)) {
    const before = told.get(id);
    updateNode(id, { position: { x: before?.x ?? 0, y: before?.y ?? 0 } });
  }
  const ids = Object.keys(places);
  const notes = ids.map(noteIndex).filter((index) => index !== null);
  const clip = copy(
    currentDoc(),
    ids.filter((id) => noteIndex(id) === null),
    notes,
  );
  if (clip === null) return;
  const corner = {
    x: Math.min(...Object.values(places).map(({ x }) => x)),
    y: Math.min(...Object.values(places).map(({ y }) => y)),
  };
  const { document, ids: fresh } = paste(currentDoc(), clip, { at: corner });
  edit(() => document, words.edits.duplicate, undefined, fresh);
  say(words.said.duplicated(fresh.length));
}
