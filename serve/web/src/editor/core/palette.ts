/** The node types there are, found by what documents write. */
import type { NodeSpec } from "@/api/types";
import type { NodeType, Port } from "@/editor/node-types";

import { own } from "./types";

type Index = Map<string, NodeType[]>;

const indexes = new WeakMap<readonly NodeType[], Index>();

function indexOf(types: readonly NodeType[]): Index {
  const known = indexes.get(types);
  if (known !== undefined) return known;
  const index: Index = new Map();
  for (const one of types) index.set(one.type, [...(index.get(one.type) ?? []), one]);
  indexes.set(types, index);
  return index;
}

/**
 * The type of a node; null where there is none such here. Of a model that does several tasks it is the node's own, else
 * the first that takes all that the node is given and lacks none, or the one that comes nearest.
 */
export function typeOfNode(node: NodeSpec, types: readonly NodeType[]): NodeType | null {
  const found = indexOf(types).get(node.type) ?? workflowAt(node.type, types) ?? [];
  if (node.task) return found.find((one) => one.task === node.task) ?? null;
  if (found.length < 2) return found[0] ?? null;
  const given = Object.keys(node.inputs ?? {}).filter((name) => (own(node.inputs, name) ?? null) !== null);
  return found.reduce((best, one) => (isNearer(distance(one, given), distance(best, given)) ? one : best));
}

/** An alias, or an earlier version, has the ports of the latest as far as can be known here. */
function workflowAt(type: string, types: readonly NodeType[]): NodeType[] | undefined {
  if (!type.startsWith("workflow:")) return undefined;
  const name = type.split("@")[0] ?? type;
  const latest = types.find((one) => one.type.split("@")[0] === name);
  return latest && [latest];
}

type Distance = readonly [unknown: number, missing: number];

function distance(type: NodeType, given: readonly string[]): Distance {
  const ports = portsGiven(type, given);
  const unknown = given.filter((name) => !ports.some((port) => port.name === name)).length;
  return [unknown, ports.filter((port) => port.required && !given.includes(port.name)).length];
}

function isNearer(one: Distance, other: Distance): boolean {
  return one[0] < other[0] || (one[0] === other[0] && one[1] < other[1]);
}

/** Of these two one is needed: the first, where the second is not given. */
const INSTEAD: Record<string, readonly [string, string]> = {
  chat: ["prompt", "messages"],
  embedding: ["input", "inputs"],
};

/** The ports of a type for a node that has these inputs: with `messages` a chat needs no prompt. */
export function portsGiven(type: NodeType, given: readonly string[]): readonly Port[] {
  const [first, second] = INSTEAD[type.task ?? ""] ?? [];
  if (second === undefined || type.type.startsWith("workflow:") || !given.includes(second)) return type.inputs;
  return type.inputs.map((port) => (port.name === first ? { ...port, required: false } : port));
}

/** What an input of this name is declared as: itself, or one that stands for many. */
export function declarationOf(type: NodeType, name: string): Port | null {
  const plain = type.inputs.find((port) => port.name === name);
  if (plain !== undefined) return plain.many ? null : plain;
  const fitting = type.inputs.filter((port) => port.many && name.startsWith(`${port.name}_`));
  return fitting.reduce<Port | null>((best, one) => (best && best.name.length >= one.name.length ? best : one), null);
}
