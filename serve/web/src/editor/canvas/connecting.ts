/** "Connect to ...": a menu of the ports that can be joined, and only those. The keyboard's way to draw a link. */
import { fittingInputs, giveInterfaceInput } from "@/editor/core/exposing";
import { WHEN } from "@/editor/core/types";
import { strings } from "@/strings";
import type { MenuItem } from "@/ui/menu";

import { edit } from "./commands";
import { isRequired, titleOfNode, titleOfPort, typeOfPort } from "./graph";
import { join, partnersOf } from "./joins";
import { currentDoc } from "./opened";
import { type PortAt, say, useCanvasView } from "./view";

const words = strings.editor.canvas;

/** Opens the menu below `anchor`. */
export function openTargets(from: PortAt, anchor: Element): void {
  const { left, bottom } = anchor.getBoundingClientRect();
  openTargetsAt(from, { x: left, y: bottom + 4 });
}

export function openTargetsAt(from: PortAt, { x, y }: { x: number; y: number }): void {
  const partners = partnersOf(from);
  const joins = partners.map((to) => ({
    label: `${titleOfNode(to.node)}: ${titleOfPort(to.node, to.port, to.side)}`,
    run: () => {
      join(from, to);
    },
  }));
  const items: MenuItem[] = [...inputsFor(from), ...joins];
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

/** The inputs that the workflow has already, for a field that takes them. */
function inputsFor(to: PortAt): MenuItem[] {
  const { node, port, side } = to;
  if (side === "output" || port === WHEN) return [];
  const field = { node, port, type: typeOfPort(to), isRequired: isRequired(to) };
  return fittingInputs(currentDoc(), field).map(({ name }) => ({
    label: words.inspector.useInput(name),
    run: () => {
      edit(giveInterfaceInput(node, port, name), words.edits.join);
      say(words.said.given(titleOfPort(node, port, "input"), name));
    },
  }));
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
