/**
 * The ports of every node as the document uses them: what each takes and gives, with T found, lists lifted by `map`, and
 * inputs that stand for many by their own names. It follows `serve/workflow/compiling/node_checks.py`.
 */
import type { Json, NodeSpec } from "@/api/types";
import type { NodeType, Port } from "@/editor/node-types";

import { linksFrom } from "./links";
import { outputTypesByValue } from "./output-types";
import { declarationOf, portsGiven, typeOfNode } from "./palette";
import { JSON_TYPE, listed, parseType, type PortType } from "./port-types";
import { type Doc, inputsOf, nodesOf, own, type Path } from "./types";
import { type Given, givenItem, unified } from "./unifying";
import { partsOf, referenceOf } from "./values";
import { orderOf } from "./ordering";

export interface InputPort {
  name: string;
  /** Its declaration, whose schema forms are made from; null where the node's type does not have it. */
  port: Port | null;
  /** What a link must bring as a whole: a list where the node is run over it. Null: not known, or any. */
  type: PortType | null;
  isMapped: boolean;
  isRequired: boolean;
  /** One that is not there yet: it becomes so when something is joined to it. */
  isFree: boolean;
}

export interface OutputPort {
  name: string;
  port: Port | null;
  /** Null where it is in doubt. */
  type: PortType | null;
}

export interface NodePorts {
  name: string;
  type: NodeType | null;
  inputs: InputPort[];
  outputs: OutputPort[];
  /** What T stands for; null where nothing tells, or its inputs do not agree. */
  generic: PortType | null;
  /** An input that does not go with the others, and what they have; null where all agree. */
  odd: { port: string; type: PortType; nested: boolean } | null;
}

const known = new WeakMap<object, { doc: Doc; types: readonly NodeType[]; ports: Map<string, NodePorts> }>();

/** The ports of all nodes, by name. Reckoned once for each state of the nodes. */
export function portsOf(doc: Doc, types: readonly NodeType[]): Map<string, NodePorts> {
  const nodes = nodesOf(doc);
  const kept = known.get(nodes);
  if (kept && kept.types === types && kept.doc.interface === doc.interface) return kept.ports;
  const ports = new Map<string, NodePorts>();
  for (const name of orderOf(doc)) ports.set(name, portsKept(doc, types, name, nodes[name] as NodeSpec, ports));
  known.set(nodes, { doc, types, ports });
  return ports;
}

export function inputPort(ports: NodePorts | undefined, name: string): InputPort | undefined {
  return ports?.inputs.find((one) => one.name === name);
}

export function outputPort(ports: NodePorts | undefined, name: string): OutputPort | undefined {
  return ports?.outputs.find((one) => one.name === name);
}

interface Kept {
  types: readonly NodeType[];
  given: readonly (PortType | null)[];
  ports: NodePorts;
}

const keptPorts = new WeakMap<NodeSpec, Kept>();

/** The same object while nothing of it is otherwise, so that only the cards draw anew whose ports have changed. */
function portsKept(
  doc: Doc,
  types: readonly NodeType[],
  name: string,
  node: NodeSpec,
  before: ReadonlyMap<string, NodePorts>,
): NodePorts {
  const given = Object.values(givenInputs(node)).flatMap((value) =>
    partTypes(doc, value, before).map((part) => part.type),
  );
  const kept = keptPorts.get(node);
  const isSame = kept?.types === types && kept.ports.name === name && kept.given.length === given.length;
  if (kept && isSame && kept.ports.type !== null && kept.given.every((one, index) => one === given[index]))
    return kept.ports;
  const ports = portsOfNode(doc, types, name, node, before);
  keptPorts.set(node, { types, given, ports });
  return ports;
}

/** `before` are the ports of the nodes that it needs. */
function portsOfNode(
  doc: Doc,
  types: readonly NodeType[],
  name: string,
  node: NodeSpec,
  before: ReadonlyMap<string, NodePorts>,
): NodePorts {
  const type = typeOfNode(node, types);
  if (type === null) return portsOfUnknown(doc, name, node);
  const scope = (value: Json) => typeGiven(doc, value, before);
  const given = new Map(Object.keys(givenInputs(node)).map((port) => [port, givenItem(node, port, scope)] as const));
  const settled = unified(type, given);
  const inputs = inputsOfNode(node, type, settled.type);
  const outputs = outputsOfNode(node, type, settled.isSettled ? settled.type : null, given);
  return { name, type, inputs, outputs, generic: settled.type, odd: settled.odd };
}

function inputsOfNode(node: NodeSpec, type: NodeType, generic: PortType | null): InputPort[] {
  const given = Object.keys(givenInputs(node));
  const single = portsGiven(type, given).flatMap((port) => (port.many ? [] : [made(node, port, port.name, generic)]));
  const many = type.inputs.filter((port) => port.many);
  const others = many.flatMap((port) => {
    const names = given.filter((name) => declarationOf(type, name) === port);
    const free = made(node, port, freeName(port.name, names), generic);
    const required = Boolean(port.required) && names.length === 0;
    return [...names.map((name) => made(node, port, name, generic)), { ...free, isFree: true, isRequired: required }];
  });
  const shown = new Set([...single, ...others].map((one) => one.name));
  const unknown = given.filter((name) => !shown.has(name)).map((name) => strange(name));
  return [...single, ...others, ...unknown];
}

function made(node: NodeSpec, port: Port, name: string, generic: PortType | null): InputPort {
  const isMapped = (node.map ?? []).includes(name);
  const plain = resolvedType(port.type, generic);
  const type = isMapped && plain !== null ? listed(plain) : plain;
  const isRequired = Boolean(port.required) && !port.many;
  return { name, port: { ...port, name }, type, isMapped, isRequired, isFree: false };
}

function strange(name: string): InputPort {
  return { name, port: null, type: null, isMapped: false, isRequired: false, isFree: false };
}

/** The first of `value_1`, `value_2`, ... that is not given. */
function freeName(stem: string, names: readonly string[]): string {
  for (let number = 1; ; number += 1) {
    const name = `${stem}_${String(number)}`;
    if (!names.includes(name)) return name;
  }
}

export function resolvedType(text: string | null, generic: PortType | null): PortType | null {
  if (text === "T") return generic;
  if (text === "list[T]") return generic && listed(generic);
  return parseType(text);
}

function outputsOfNode(
  node: NodeSpec,
  type: NodeType,
  generic: PortType | null,
  given: ReadonlyMap<string, Given>,
): OutputPort[] {
  const found = outputTypesByValue(type, given);
  const isMapped = (node.map ?? []).length > 0;
  return type.outputs.flatMap((port) => {
    const plain = own(found, port.name) ?? resolvedType(port.type, generic);
    // A node that is run over a list has no outputs that would be lists of lists.
    if (isMapped && plain?.isList) return [];
    return [{ name: port.name, port, type: isMapped && plain ? listed(plain) : plain }];
  });
}

/** What is known of a node whose type is not here: what it is given, and what is taken from it. */
function portsOfUnknown(doc: Doc, name: string, node: NodeSpec): NodePorts {
  const taken = new Set(linksFrom(doc, name).map(({ source }) => source.port));
  for (const { from } of doc.interface?.outputs ?? []) if (from[0] === name && from[1]) taken.add(from[1]);
  const outputs = [...taken].map((port) => ({ name: port, port: null, type: null }));
  return { name, type: null, inputs: Object.keys(node.inputs ?? {}).map(strange), outputs, generic: null, odd: null };
}

export function givenInputs(node: NodeSpec): Record<string, Json> {
  const entries = Object.entries((node.inputs ?? {}) as Record<string, Json>);
  return Object.fromEntries(entries.filter(([, value]) => value !== null));
}

/** The types of the references in a value; null where one is in doubt. */
export function partTypes(doc: Doc, value: Json, before: ReadonlyMap<string, NodePorts>) {
  return partsOf(value).map(({ path, reference }): { path: Path; type: PortType | null } => {
    if (reference.kind === "node") {
      return { path, type: outputPort(before.get(reference.node), reference.port)?.type ?? null };
    }
    return { path, type: parseType(inputsOf(doc).find((one) => one.name === reference.name)?.type) };
  });
}

/** The type of a value with references in it; null where that is in doubt. */
function typeGiven(doc: Doc, value: Json, before: ReadonlyMap<string, NodePorts>): PortType | null {
  const parts = partsOf(value);
  const types = partTypes(doc, value, before).map((part) => part.type);
  const [first] = types;
  if (first === undefined || types.includes(null)) return null;
  if (referenceOf(value) !== null) return first;
  const isFlat = Array.isArray(value) && parts.every(({ path }) => path.length === 1);
  const isOne = types.every((one) => one === first);
  return isFlat && isOne && first && !first.isList ? listed(first) : JSON_TYPE;
}

/** The ports that a node would have, were one of its inputs given something else. */
export function portsWith(doc: Doc, types: readonly NodeType[], name: string, port: string, value: Json): NodePorts {
  const node = nodesOf(doc)[name] as NodeSpec;
  const tried = { ...node, inputs: { ...node.inputs, [port]: value } };
  return portsOfNode(doc, types, name, tried, portsOf(doc, types));
}
