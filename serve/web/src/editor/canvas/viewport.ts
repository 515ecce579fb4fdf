/** The view of the canvas from outside of React: where it is, and moving it. Set while a canvas is on the page. */
import type { FitViewOptions, ReactFlowInstance, XYPosition } from "@xyflow/react";

let flow: ReactFlowInstance | null = null;
let element: HTMLElement | null = null;

/** Leaves room for the tools at the left and the plan bar at the foot. */
export const FIT: FitViewOptions = {
  padding: { left: "64px", right: "24px", top: "24px", bottom: "88px" },
  maxZoom: 1,
};
const QUICK = { duration: 120 };

export function hold(instance: ReactFlowInstance | null, frame: HTMLElement | null): void {
  flow = instance;
  element = frame;
}

export function instance(): ReactFlowInstance | null {
  return flow;
}

/** On the canvas, the place under a point of the window. */
export function placeUnder(point: XYPosition): XYPosition {
  return flow?.screenToFlowPosition(point) ?? point;
}

/** On the canvas, the middle of what is seen. */
export function middle(): XYPosition {
  const frame = element?.getBoundingClientRect();
  if (!frame) return { x: 0, y: 0 };
  return placeUnder({ x: frame.left + frame.width / 2, y: frame.top + frame.height / 2.5 });
}

const MAX_FRAMES = 20;

/** Focuses a card, as soon as it is drawn and measured. */
export function focusNode(name: string, frames = 0): void {
  const card = element?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(name)}"]`);
  if (card && card.style.visibility !== "hidden") card.focus({ preventScroll: true });
  else if (frames < MAX_FRAMES)
    requestAnimationFrame(() => {
      focusNode(name, frames + 1);
    });
}

export function fit(): void {
  void flow?.fitView({ ...QUICK, ...FIT });
}

export function show(names: readonly string[]): void {
  void flow?.fitView({ ...QUICK, nodes: names.map((id) => ({ id })), padding: 0.3, maxZoom: 1 });
}

export function zoomIn(): void {
  void flow?.zoomIn(QUICK);
}

export function zoomOut(): void {
  void flow?.zoomOut(QUICK);
}

export function zoomFull(): void {
  void flow?.zoomTo(1, QUICK);
}

let flush: () => Promise<string> = () => Promise.resolve("");

/** How the canvas is saved before a run; set with the canvas. */
export function holdFlush(save: () => Promise<string>): void {
  flush = save;
}

export function flushed(): Promise<string> {
  return flush();
}
