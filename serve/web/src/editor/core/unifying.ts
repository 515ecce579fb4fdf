/** What the T of a generic operation stands for, as `serve/workflow/ports/operation_ports.py` finds it. */
import type { Json, NodeSpec } from "@/api/types";
import type { NodeType } from "@/editor/node-types";

import { declarationOf } from "./palette";
import { fits, itemOf, JSON_TYPE, type Kind, type PortType, typeOf } from "./port-types";
import { isWritten, plainOf } from "./values";

/** What one run of a node is given at an input. `type` is null where it is not known, and of what is written down. */
export interface Given {
  type: PortType | null;
  value?: Json;
  isWritten: boolean;
}

export interface Unified {
  type: PortType | null;
  isSettled: boolean;
  odd: { port: string; type: PortType; nested: boolean } | null;
}

/** `typeGiven` is the type of a value with references. A node that is run over a list is given its items. */
export function givenItem(node: NodeSpec, port: string, typeGiven: (value: Json) => PortType | null): Given {
  const value = (node.inputs ?? {})[port] as Json;
  const isMapped = (node.map ?? []).includes(port);
  if (isWritten(value)) {
    const plain = plainOf(value);
    return { type: null, isWritten: true, value: isMapped && Array.isArray(plain) ? (plain[0] ?? null) : plain };
  }
  const found = typeGiven(value);
  return { type: isMapped && found !== null ? itemOf(found) : found, isWritten: false };
}

export function unified(type: NodeType, given: ReadonlyMap<string, Given>): Unified {
  const told = new Map<string, PortType>();
  const written = new Map<string, PortType>();
  let isInDoubt = false;
  for (const [name, one] of given) {
    const declared = declarationOf(type, name)?.type;
    if (declared !== "T" && declared !== "list[T]") continue;
    if (one.isWritten) {
      const own = writtenType(one.value ?? null, declared === "list[T]");
      if (own !== null) written.set(name, own);
    } else if (one.type === null) isInDoubt = true;
    else if (declared === "T") told.set(name, one.type);
    else if (one.type.isList) told.set(name, itemOf(one.type) as PortType);
  }
  if (told.size === 0 && isInDoubt) return { type: null, isSettled: false, odd: null };
  return agreed(told.size > 0 ? told : written, hasLists(type));
}

function agreed(candidates: ReadonlyMap<string, PortType>, isAmongLists: boolean): Unified {
  if (candidates.size === 0) return { type: JSON_TYPE, isSettled: true, odd: null };
  const nested = isAmongLists ? [...candidates].find(([, one]) => one.isList) : undefined;
  if (nested !== undefined)
    return { type: null, isSettled: false, odd: { port: nested[0], type: nested[1], nested: true } };
  const distinct = [...new Set(candidates.values())];
  const wanted = [...distinct, JSON_TYPE].find((one) => distinct.every((other) => fits(other, one)));
  if (wanted !== undefined) return { type: wanted, isSettled: true, odd: null };
  const first = distinct[0] as PortType;
  const odd = [...candidates].find(([, one]) => !fits(one, first)) ?? [...candidates].at(-1);
  return { type: first, isSettled: false, odd: odd ? { port: odd[0], type: odd[1], nested: false } : null };
}

function hasLists(type: NodeType): boolean {
  return [...type.inputs, ...type.outputs].some((port) => port.type === "list[T]");
}

/** The type that a written value has by itself; null of an empty list. */
function writtenType(value: Json, isList: boolean): PortType | null {
  if (!isList) return typeOf(kindOf(value));
  const kinds = [...new Set(Array.isArray(value) ? value.map(kindOf) : [])];
  if (kinds.length === 0) return null;
  return kinds.length === 1 ? typeOf(kinds[0] as Kind) : JSON_TYPE;
}

/** What a single JSON value is by itself. */
export function kindOf(value: Json): Kind {
  if (typeof value === "boolean") return "boolean";
  if (typeof value === "number") return "number";
  return typeof value === "string" ? "text" : "json";
}
