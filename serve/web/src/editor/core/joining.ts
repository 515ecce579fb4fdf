/** Whether an output may be joined to an input, and what joining them does. The server's compiler has the same rules. */
import type { Json } from "@/api/types";
import type { NodeType } from "@/editor/node-types";
import { strings } from "@/strings";

import { type Link, linksInto } from "./links";
import { wayBetween } from "./ordering";
import { declarationOf } from "./palette";
import {
  givenInputs,
  type InputPort,
  inputPort,
  type NodePorts,
  outputPort,
  partTypes,
  portsOf,
  portsWith,
} from "./ports";
import { fits, isStatic, itemOf, JSON_TYPE, parseType, type PortType, typeOf } from "./port-types";
import { type Doc, nodeOf, own, type Path, type Source, type Target, valueAt, WHEN } from "./types";
import { refTo, withAt } from "./values";

export type Joining =
  | {
      ok: true;
      /** Where the reference is put: an input that stands for many is told by its fresh name. */
      target: { node: string; port: string; path: Path };
      /** What goes: the link that was there. */
      replaces?: Link;
      /** The node is then run once for each item of the list. */
      maps?: boolean;
      /** The node was run over a list there, and is not any more. */
      unmaps?: boolean;
    }
  | { ok: false; reason: string };

const words = strings.editor.core;
const MAX_MAPPED = 8;
const MAX_WAY = 12;

export function typeWords(type: PortType | null): string {
  return type === null ? words.anything : words.kind(type.kind, type.isList);
}

function refused(reason: string): Joining {
  return { ok: false, reason };
}

export function canJoin(doc: Doc, types: readonly NodeType[], source: Source, target: Target): Joining {
  const wrong = wrongPlace(doc, source, target);
  if (wrong !== null) return refused(wrong);
  const ports = portsOf(doc, types);
  const output = outputPort(ports.get(source.node), source.port);
  if (output === undefined) return refused(words.reasons.noOutput(source.node, source.port));
  if (target.port === WHEN) return toCondition(doc, target.node, output.type);
  const node = ports.get(target.node) as NodePorts;
  const input = wantedInput(node, target.port);
  if (input === null) return refused(words.reasons.noInput(target.node, target.port));
  return new Join(doc, types, node, input, source, output.type).at(target.path);
}

function wrongPlace(doc: Doc, source: Source, target: Target): string | null {
  for (const name of [source.node, target.node]) if (nodeOf(doc, name) === undefined) return words.reasons.noNode(name);
  if (source.node === target.node) return words.reasons.itself;
  const way = wayBetween(doc, target.node, source.node);
  if (way === null) return null;
  const shown = way.length > MAX_WAY ? [...way.slice(0, MAX_WAY), "..."] : way;
  return words.reasons.circle([...shown, target.node]);
}

function toCondition(doc: Doc, node: string, given: PortType | null): Joining {
  if (given !== null && !fits(given, typeOf("boolean"))) return refused(words.reasons.condition(typeWords(given)));
  const replaces = linksInto(doc, node, WHEN)[0];
  return { ok: true, target: { node, port: WHEN, path: [] }, ...(replaces ? { replaces } : {}) };
}

/** The input of this name; of a declaration that stands for many, the one that is free. */
function wantedInput(node: NodePorts, name: string): InputPort | null {
  const found = inputPort(node, name);
  if (found !== undefined || node.type === null) return found ?? unknownInput(name);
  const isStem = (one: InputPort) =>
    node.type !== null && one.isFree && declarationOf(node.type, one.name)?.name === name;
  const free = node.inputs.find(isStem);
  if (free !== undefined) return free;
  const declared = declarationOf(node.type, name);
  const like = node.inputs.find((one) => one.isFree && node.type && declarationOf(node.type, one.name) === declared);
  return declared && like ? { ...like, name, port: { ...declared, name } } : null;
}

function unknownInput(name: string): InputPort {
  return { name, port: null, type: null, isMapped: false, isRequired: false, isFree: false };
}

class Join {
  constructor(
    private readonly doc: Doc,
    private readonly types: readonly NodeType[],
    private readonly node: NodePorts,
    private readonly input: InputPort,
    private readonly source: Source,
    private readonly given: PortType | null,
  ) {}

  at(path: Path | undefined): Joining {
    const { given, input, node } = this;
    // The input of a node that is not known here may take anything.
    if (input.port === null && node.type !== null) return refused(words.reasons.noInput(node.name, input.name));
    const wanted = this.ownType();
    if (wanted !== null && isStatic(wanted)) return refused(words.reasons.isStatic(typeWords(wanted)));
    if (path && path.length > 0) return this.within(path);
    const declared = input.port?.type ?? null;
    if (declared === "T") return this.toGeneric([]);
    if (declared === "list[T]") return this.toGeneric(given === null || given.isList ? [] : this.nextPlace());
    if (given === null || input.type === null || fits(given, input.type)) return this.joined([]);
    return this.otherwise(given, input.type);
  }

  /** The type of one run's value, whatever the node is run over. */
  private ownType(): PortType | null {
    return parseType(this.input.port?.type);
  }

  private value(): Json | undefined {
    return valueAt(this.doc, this.node.name, this.input.name);
  }

  /** A list is given to what takes one of its items, or an item to what takes a list. */
  private otherwise(given: PortType, wanted: PortType): Joining {
    const { input } = this;
    const item = itemOf(wanted);
    if (item !== null && fits(given, item)) {
      if (!input.isMapped || Array.isArray(this.value())) return this.joined(this.nextPlace());
      return this.joined([], { unmaps: true });
    }
    const listItem = itemOf(given);
    if (listItem !== null && fits(listItem, wanted)) return this.mapped();
    return refused(words.reasons.wrongType(typeWords(given), typeWords(wanted)));
  }

  private mapped(): Joining {
    const map = nodeOf(this.doc, this.node.name)?.map ?? [];
    if (map.length >= MAX_MAPPED) return refused(words.reasons.tooMany);
    return this.joined([], { maps: true });
  }

  private within(path: Path): Joining {
    const { given, input } = this;
    const isGeneric = input.port?.type === "T" || input.port?.type === "list[T]";
    if (isGeneric) return this.toGeneric(path);
    const wanted = input.type === null ? null : typeWithin(input.type, path);
    if (input.type !== null && wanted === null)
      return refused(words.reasons.wrongItem(typeWords(given), typeWords(input.type)));
    if (given === null || wanted === null || fits(given, wanted)) return this.joined(path);
    return refused(words.reasons.wrongType(typeWords(given), typeWords(wanted)));
  }

  /** Tried out: what T stands for depends on all that the node is given. */
  private toGeneric(path: Path): Joining {
    const { doc, types, node, input, source, given } = this;
    // Run over a list, and now given a single value: it becomes an item of the list that is written, or takes its place.
    if (input.isMapped && given?.isList === false && path.length === 0)
      return Array.isArray(this.value()) ? this.toGeneric(this.nextPlace()) : this.joined([], { unmaps: true });
    const list = path.length > 0 && !Array.isArray(this.value()) ? [] : this.value();
    const value = path.length === 0 ? refTo(source) : withAt(list, path, refTo(source));
    const tried = portsWith(doc, types, node.name, input.name, value);
    if (tried.generic !== null && isStatic(tried.generic))
      return refused(words.reasons.isStatic(typeWords(tried.generic)));
    if (tried.odd === null) return this.unlike(tried, value) ?? this.joined(path);
    if (tried.odd.nested) return refused(words.reasons.nested);
    return refused(words.reasons.disagree(typeWords(tried.odd.type), typeWords(tried.generic)));
  }

  /** Refuses a value among others that T, as it is then, has no room for: an image in a list of JSON. */
  private unlike(tried: NodePorts, value: Json): Joining | null {
    const before = portsOf(this.doc, this.types);
    const given = { ...givenInputs(nodeOf(this.doc, this.node.name) ?? { type: "" }), [this.input.name]: value };
    for (const { name, type, port } of tried.inputs) {
      if (type === null || (port?.type !== "T" && port?.type !== "list[T]")) continue;
      for (const part of partTypes(this.doc, own(given, name) ?? null, before)) {
        const wanted = typeWithin(type, part.path);
        if (part.type !== null && part.path.length > 0 && !(wanted && fits(part.type, wanted)))
          return refused(words.reasons.disagree(typeWords(part.type), typeWords(tried.generic)));
      }
    }
    return null;
  }

  /** After the items of a list; what is there as a whole is replaced. */
  private nextPlace(): Path {
    const value = this.value();
    return [Array.isArray(value) ? value.length : 0];
  }

  private joined(path: Path, more: { maps?: boolean; unmaps?: boolean } = {}): Joining {
    const { doc, node, input } = this;
    const replaces = linksInto(doc, node.name, input.name).find((link) => isReplaced(link.target.path, path));
    const target = { node: node.name, port: input.name, path };
    return { ok: true, target, ...(replaces ? { replaces } : {}), ...more };
  }
}

/** A reference goes when something is put at its place, above it, or below it. */
function isReplaced(old: Path, path: Path): boolean {
  const length = Math.min(old.length, path.length);
  return old.slice(0, length).every((step, index) => step === path[index]);
}

/** What may stand at a place within a value of a type. */
export function typeWithin(wanted: PortType, path: Path): PortType | null {
  if (wanted === JSON_TYPE) return JSON_TYPE;
  if (wanted.isList && path.length === 1) return itemOf(wanted);
  return wanted.kind === "json" ? JSON_TYPE : null;
}
