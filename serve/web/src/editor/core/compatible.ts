/** Which node types have a port for the end of a link that is drawn. */
import type { NodeType, Port } from "@/editor/node-types";

import { fits, isStatic, itemOf, parseType, type PortType } from "./port-types";

/** The end that is held: an `output` looks for inputs, an `input` for outputs. */
export type Side = "input" | "output";

export interface Fit {
  type: NodeType;
  port: Port;
  /** 0 for the same type; more, the further away. */
  distance: number;
}

/** Every node type that has a port for it, with the one that fits best; the nearest first, else in the given order. */
export function compatible(types: readonly NodeType[], held: PortType | null, side: Side): Fit[] {
  const found = types.map((type) => bestPort(type, held, side)).filter((fit) => fit !== null);
  return found
    .map((fit, index) => [fit, index] as const)
    .sort(nearer)
    .map(([fit]) => fit);
}

function nearer([one, at]: readonly [Fit, number], [other, place]: readonly [Fit, number]): number {
  return Math.floor(one.distance) - Math.floor(other.distance) || at - place;
}

/** The port that a link would go to, or come from; null where there is none. */
export function bestPort(type: NodeType, held: PortType | null, side: Side): Fit | null {
  const ports = side === "output" ? type.inputs : type.outputs;
  let best: Fit | null = null;
  for (const port of ports) {
    const far = side === "output" ? distanceTo(held, port) : distanceFrom(held, port);
    // Of two that fit alike, the one that is needed.
    const distance = far === null ? null : far + (side === "output" && !port.required ? 0.5 : 0);
    if (distance !== null && (best === null || distance < best.distance)) best = { type, port, distance };
  }
  return best;
}

/** From what is held to an input. */
function distanceTo(held: PortType | null, input: Port): number | null {
  if (isGeneric(input)) return 3;
  const wanted = parseType(input.type);
  if (wanted === null || isStatic(wanted)) return null;
  return held === null ? 4 : between(held, wanted);
}

/** From an output to what is held. */
function distanceFrom(held: PortType | null, output: Port): number | null {
  if (held !== null && isStatic(held)) return null;
  const given = parseType(output.type);
  if (given === null || held === null) return 4;
  return between(given, held);
}

function isGeneric(port: Port): boolean {
  return port.type === "T" || port.type === "list[T]";
}

function between(given: PortType, wanted: PortType): number | null {
  if (given === wanted) return 0;
  if (fits(given, wanted)) return 1;
  const [items, item] = [itemOf(given), itemOf(wanted)];
  if (item !== null && fits(given, item)) return 1;
  return items !== null && fits(items, wanted) ? 2 : null;
}
