/** Links drawn by hand: where they may end, what happens where they do, and where they do not. */
import type { Connection, Edge, FinalConnectionState, IsValidConnection, OnConnectStart } from "@xyflow/react";

import { reconnect } from "@/editor/core/connecting";
import { strings } from "@/strings";

import { disconnectLinks, edit, isReadOnly } from "./commands";
import { titleOfNode, titleOfPort } from "./graph";
import { portAt } from "./JoiningLine";
import { beginJoining, endJoining, join, joiningOf, partnersOf, refuse, tellWrong } from "./joins";
import { currentDoc, currentTypes } from "./opened";
import { type PortAt, say, useCanvasView } from "./view";
import { placeUnder } from "./viewport";

const words = strings.editor.canvas;

type Pointer = MouseEvent | TouchEvent;

export const isJoinable: IsValidConnection = (connection) => {
  const [from, to] = portsOf(connection);
  return joiningOf(from, to)?.ok === true;
};

function portsOf({ source, sourceHandle, target, targetHandle }: Connection | Edge): [PortAt, PortAt] {
  return [
    { node: source, port: sourceHandle ?? "", side: "output" },
    { node: target, port: targetHandle ?? "", side: "input" },
  ];
}

/** Whether an end of a link is on its way; the diagram tells of the end of that twice, and of a new link's once. */
let isMoving = false;

export function startMove(): void {
  isMoving = true;
}

export const startLink: OnConnectStart = (_event, { nodeId, handleId, handleType }) => {
  if (nodeId && handleId && handleType) beginJoining(portAt({ nodeId, id: handleId, type: handleType }));
};

export function makeLink(connection: Connection): void {
  const [from, to] = portsOf(connection);
  join(from, to);
}

/** A link that ended on no port that takes it: refused with its reason, offered the card's inputs, or a new node. */
export function endLink(event: Pointer, { isValid, fromHandle, toHandle }: FinalConnectionState): void {
  endJoining();
  if (isValid || isMoving || !fromHandle || isReadOnly()) return;
  const from = portAt(fromHandle);
  if (toHandle) {
    refuseAt(from, portAt(toHandle));
    return;
  }
  const point = pointOf(event);
  const card = document.elementFromPoint(point.x, point.y)?.closest<HTMLElement>(".react-flow__node-card");
  const name = card?.dataset["id"];
  if (name === from.node) return;
  if (name !== undefined) joinToCard(from, name, point);
  else useCanvasView.getState().set({ adding: { at: placeUnder(point), join: from } });
}

function refuseAt(from: PortAt, to: PortAt): void {
  const joining = joiningOf(from, to);
  if (joining?.ok === false) refuse(joining.reason);
}

/** Dropped on a card: on the one port that takes it, or asked for which. */
function joinToCard(from: PortAt, name: string, point: { x: number; y: number }): void {
  const partners = partnersOf(from).filter((to) => to.node === name);
  const [only] = partners;
  if (only === undefined) {
    const nothing = from.side === "output" ? words.inspector.noTargets : words.inspector.noSources;
    refuse(nothing);
  } else if (partners.length === 1) join(from, only);
  else {
    const items = partners.map((to) => ({
      label: titleOfPort(name, to.port, to.side),
      run: () => void join(from, to),
    }));
    useCanvasView.getState().set({ menu: { label: words.joinTo(titleOfNode(name)), ...point, items } });
  }
}

function pointOf(event: Pointer): { x: number; y: number } {
  const at = "changedTouches" in event ? event.changedTouches[0] : event;
  return { x: at?.clientX ?? 0, y: at?.clientY ?? 0 };
}

/** An end of a link dragged to another port. */
export function moveLink(old: Edge, connection: Connection): void {
  const { source, sourceHandle, target, targetHandle } = connection;
  const change = reconnect(
    currentTypes(),
    old.id,
    { node: source, port: sourceHandle ?? "" },
    { node: target, port: targetHandle ?? "" },
  );
  const before = currentDoc();
  edit(change, words.edits.join);
  const [from, to] = portsOf(connection);
  say(words.said.joined(titleOfNode(from.node), titleOfNode(to.node)));
  tellWrong(before);
}

/** An end of a link dropped where nothing is: the link goes. */
export function dropLink(
  _event: Pointer,
  edge: Edge,
  _type: unknown,
  { isValid, toHandle, fromHandle }: FinalConnectionState,
): void {
  isMoving = false;
  endJoining();
  if (isValid) return;
  if (toHandle && fromHandle) refuseAt(portAt(fromHandle), portAt(toHandle));
  else disconnectLinks([edge.id]);
}
