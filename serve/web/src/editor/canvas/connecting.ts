/** "Connect to ...": a menu of the ports that can be joined, and only those. The keyboard's way to draw a link. */
import { strings } from "@/strings";

import { titleOfNode, titleOfPort } from "./graph";
import { join, partnersOf } from "./joins";
import { type PortAt, useCanvasView } from "./view";

const words = strings.editor.canvas;

/** Opens the menu below `anchor`. */
export function openTargets(from: PortAt, anchor: Element): void {
  const { left, bottom } = anchor.getBoundingClientRect();
  openTargetsAt(from, { x: left, y: bottom + 4 });
}

export function openTargetsAt(from: PortAt, { x, y }: { x: number; y: number }): void {
  const partners = partnersOf(from);
  const items = partners.map((to) => ({
    label: `${titleOfNode(to.node)}: ${titleOfPort(to.node, to.port, to.side)}`,
    run: () => {
      join(from, to);
    },
  }));
  const nothing = from.side === "output" ? words.inspector.noTargets : words.inspector.noSources;
  const none = { label: nothing, run: () => undefined, isDisabled: true };
  const adding = {
    label: words.acts.addNode,
    run: () => {
      useCanvasView.getState().set({ adding: { at: null, join: from } });
    },
  };
  const label = words.outline.pickTarget(titleOfPort(from.node, from.port, from.side));
  useCanvasView
    .getState()
    .set({ menu: { label, x, y, items: [...(items.length > 0 ? items : [none]), null, adding] } });
}

/** Opens a menu of the ports themselves first, where only the node was named. */
export function openPorts(label: string, ports: readonly PortAt[], at: { x: number; y: number }): void {
  const [only] = ports;
  if (ports.length === 1 && only) {
    openTargetsAt(only, at);
    return;
  }
  const items = ports.map((port) => ({
    label: titleOfPort(port.node, port.port, port.side),
    run: () => {
      openTargetsAt(port, at);
    },
  }));
  useCanvasView.getState().set({ menu: { label, ...at, items } });
}
