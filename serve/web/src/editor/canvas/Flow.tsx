/** The diagram itself. It is never given its nodes anew: changes of the document go over one by one (`syncing.ts`), and no frame of a drag passes through React. */
import "@xyflow/react/dist/base.css";
import "./canvas.css";

import {
  Background,
  BackgroundVariant,
  type Edge,
  type Node,
  type NodeChange,
  ReactFlow,
  SelectionMode,
} from "@xyflow/react";
import { useRef } from "react";

import type { EditorStore } from "@/editor/store";
import type { NodeType } from "@/editor/node-types";
import { strings } from "@/strings";

import { titleOfNode, titleOfPort } from "./graph";
import { GroupFrames } from "./GroupFrames";
import { useCardsInSight } from "./in-sight";
import { JoiningLine } from "./JoiningLine";
import { LinkEdge } from "./LinkEdge";
import { dropLink, endLink, isJoinable, makeLink, moveLink, startLink, startMove } from "./linking";
import { openCanvasMenu, openLinkMenu, openNodeMenu, openSelectionMenu } from "./menus";
import { Minimap } from "./Minimap";
import { NodeCard } from "./NodeCard";
import { NoteCard } from "./NoteCard";
import { takeSelection, useDragging, useFirstElements, useSyncing } from "./syncing";
import { SNAP_GRID, useCanvasView } from "./view";
import { FIT, hold, placeUnder } from "./viewport";

const words = strings.editor.canvas;

const NODE_TYPES = { card: NodeCard, note: NoteCard };
const EDGE_TYPES = { link: LinkEdge };
const GRID: [number, number] = [SNAP_GRID, SNAP_GRID];
/** Below it a card's lines, and below that its title, are too small to be read. */
const FAR = 0.4;
const REMOTE = 0.22;
const SELECT_MORE = ["Shift", "Control", "Meta"];

interface FlowProps {
  store: EditorStore;
  types: readonly NodeType[];
  isReadOnly: boolean;
}

export function Flow({ store, types, isReadOnly }: FlowProps) {
  const frame = useRef<HTMLDivElement>(null);
  const first = useFirstElements(store, types);
  useSyncing(store, types, first.told);
  useCardsInSight(frame);
  const { start, stop, moveByKeys } = useDragging(first.told);
  const isSnapping = useCanvasView((view) => view.isSnapping);
  const isMinimapShown = useCanvasView((view) => view.isMinimapShown);
  return (
    // Double-clicking has a key of its own (Space).
    <div
      ref={frame}
      className="h-full"
      onDoubleClick={(event) => {
        if (isReadOnly || !(event.target as Element).classList.contains("react-flow__pane")) return;
        const at = placeUnder({ x: event.clientX, y: event.clientY });
        useCanvasView.getState().set({ adding: { at, join: null } });
      }}
    >
      <ReactFlow
        className="flow"
        aria-label={words.label}
        defaultNodes={first.nodes}
        defaultEdges={first.edges}
        nodeTypes={NODE_TYPES}
        edgeTypes={EDGE_TYPES}
        onInit={(instance) => {
          hold(instance, frame.current);
          showDetail(frame.current, instance.getZoom());
        }}
        onMove={(event, { zoom }) => {
          showDetail(frame.current, zoom);
          if (event !== null && event.type !== "wheel") frame.current?.setAttribute("data-panning", "");
        }}
        onMoveEnd={() => {
          frame.current?.removeAttribute("data-panning");
        }}
        fitView
        fitViewOptions={FIT}
        minZoom={0.1}
        maxZoom={2}
        snapToGrid={isSnapping}
        snapGrid={GRID}
        nodesDraggable={!isReadOnly}
        nodesConnectable={!isReadOnly}
        edgesReconnectable={!isReadOnly}
        edgesFocusable={false}
        deleteKeyCode={null}
        panActivationKeyCode={null}
        multiSelectionKeyCode={SELECT_MORE}
        selectionMode={SelectionMode.Partial}
        zoomOnDoubleClick={false}
        connectionRadius={28}
        connectionLineComponent={JoiningLine}
        isValidConnection={isJoinable}
        onConnectStart={startLink}
        onConnect={makeLink}
        onConnectEnd={endLink}
        onReconnectStart={startMove}
        onReconnect={moveLink}
        onReconnectEnd={dropLink}
        onSelectionChange={takeSelection}
        onNodesChange={(changes) => {
          moveByKeys(keyMoves(changes));
        }}
        onNodeDragStart={start}
        onNodeDragStop={(event, _node, nodes) => {
          stop(event, nodes);
        }}
        onSelectionDragStart={start}
        onSelectionDragStop={stop}
        onNodeContextMenu={(event, node) => {
          event.preventDefault();
          if (node.type === "card") openNodeMenu(node.id, pointOf(event));
          else openSelectionMenu(pointOf(event));
        }}
        onSelectionContextMenu={(event) => {
          event.preventDefault();
          openSelectionMenu(pointOf(event));
        }}
        onEdgeContextMenu={(event, edge) => {
          event.preventDefault();
          openLinkMenu(edge.id, wordsOf(edge), pointOf(event));
        }}
        onPaneContextMenu={(event) => {
          event.preventDefault();
          openCanvasMenu(pointOf(event));
        }}
        attributionPosition="bottom-left"
      >
        <Background variant={BackgroundVariant.Dots} gap={SNAP_GRID * 2} size={1} />
        <GroupFrames />
        {isMinimapShown && <Minimap />}
      </ReactFlow>
    </div>
  );
}

/** From afar cards are titles and marks: words that nobody can read need not be painted. Set on the element itself, for
 * this is asked in every frame. */
function showDetail(frame: HTMLElement | null, zoom: number): void {
  frame?.toggleAttribute("data-far", zoom < FAR);
  frame?.toggleAttribute("data-remote", zoom < REMOTE);
}

/** Nodes whose place was changed for good, and by no pointer. */
function keyMoves(changes: readonly NodeChange<Node>[]) {
  return changes.flatMap((change) =>
    change.type === "position" && change.dragging === false && change.position
      ? [{ id: change.id, position: change.position }]
      : [],
  );
}

function pointOf(event: MouseEvent | React.MouseEvent): { x: number; y: number } {
  return { x: event.clientX, y: event.clientY };
}

function wordsOf({ source, sourceHandle, target, targetHandle }: Edge): string {
  const output = titleOfPort(source, sourceHandle ?? "", "output");
  return words.link(titleOfNode(source), output, titleOfNode(target), titleOfPort(target, targetHandle ?? "", "input"));
}
