/** What the canvas reads of the document: each part of it under a name of its own, so that a card draws itself anew only for its own. */
import { useMemo } from "react";
import { useShallow } from "zustand/react/shallow";

import type { NodeSpec, Problem } from "@/api/types";
import { compatible } from "@/editor/core/compatible";
import { type Link, linksFrom, linksInto, linksOf } from "@/editor/core/links";
import { orderOf } from "@/editor/core/ordering";
import { declarationOf } from "@/editor/core/palette";
import { type NodePorts, portsOf } from "@/editor/core/ports";
import { parseType, typeText } from "@/editor/core/port-types";
import { type WrongLink, wrongInto } from "@/editor/core/wrong-links";
import { nodeOf, nodesOf, type Note, outputsOf, type Place, placeOf, WHEN } from "@/editor/core/types";
import type { NodeType, Port } from "@/editor/node-types";
import { problemsAt } from "@/editor/store";
import { strings } from "@/strings";

import { currentDoc, currentTypes, useEditor, useTypes } from "./opened";
import type { PortAt } from "./view";

const words = strings.editor.canvas;

/** A port as cards and panels show it. */
export interface CardPort {
  name: string;
  title: string;
  description: string;
  /** As documents write it; `any` where it is not known. */
  type: string;
  required: boolean;
  /** One that comes to be when something is joined to it. */
  isFree: boolean;
  /** As forms take it. */
  declared: Port;
}

export interface CardType {
  title: string;
  description: string;
  isKnown: boolean;
  ports: { inputs: CardPort[]; outputs: CardPort[] };
}

const NO_NOTES: readonly Note[] = [];

export function useNode(name: string): NodeSpec | undefined {
  return useEditor((store) => nodeOf(store.document, name));
}

export function usePlace(name: string): Place | undefined {
  return useEditor((store) => placeOf(store.document, name));
}

export function useNotes(): readonly Note[] {
  return useEditor((store) => store.document.layout?.notes) ?? NO_NOTES;
}

export function useNodeProblems(name: string): readonly Problem[] {
  return useEditor((store) => problemsAt(store.problems, name));
}

/** The links into a node that cannot be as they are; told at once, where the platform tells them after saving. */
export function useWrongLinks(name: string): readonly WrongLink[] {
  const types = useTypes();
  return useEditor((store) => wrongInto(store.document, types, name));
}

/** The names under which the workflow answers a node's outputs, by port. */
export function useExposedOutputs(name: string): Record<string, string> {
  return useEditor(
    useShallow((store) =>
      Object.fromEntries(
        outputsOf(store.document)
          .filter(({ from }) => from[0] === name)
          .map(({ from, name: outside }) => [from[1] ?? "", outside]),
      ),
    ),
  );
}

/** The outputs of each node that go somewhere, reckoned once for each state of the nodes. */
const taken = new WeakMap<object, Map<string, string[]>>();
const NONE: string[] = [];

export function useLinkedOutputs(name: string): string[] {
  return useEditor(
    useShallow(({ document }) => {
      const nodes = nodesOf(document);
      let byNode = taken.get(nodes);
      if (byNode === undefined) {
        byNode = new Map();
        for (const { source } of linksOf(document))
          byNode.set(source.node, [...(byNode.get(source.node) ?? []), source.port]);
        taken.set(nodes, byNode);
      }
      return byNode.get(name) ?? NONE;
    }),
  );
}

export function useIsSelected(name: string): boolean {
  return useEditor((store) => store.selection.includes(name));
}

/** The selected nodes, without notes. */
export function useSelectedNodes(): string[] {
  return useEditor(useShallow((store) => store.selection.filter((id) => nodeOf(store.document, id) !== undefined)));
}

export function useOrder(): string[] {
  const nodes = useEditor((store) => store.document.nodes);
  // The order follows from the nodes alone; the rest of the document may change.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  return useMemo(() => orderOf(currentDoc()), [nodes]);
}

export function useLinksAt(name: string): { into: Link[]; from: Link[] } {
  const nodes = useEditor((store) => store.document.nodes);
  // eslint-disable-next-line react-hooks/exhaustive-deps
  return useMemo(() => ({ into: linksInto(currentDoc(), name), from: linksFrom(currentDoc(), name) }), [nodes, name]);
}

/** The node's type with its ports as this node uses them. The same object while none of that changes. */
export function useTypeOf(name: string): CardType | undefined {
  const types = useTypes();
  return useEditor((store) => cardType(portsOf(store.document, types).get(name)));
}

const seen = new Map<string, { key: string; card: CardType }>();

function cardType(ports: NodePorts | undefined): CardType | undefined {
  if (ports === undefined) return undefined;
  const key = JSON.stringify([
    ports.type?.type,
    ports.type?.task,
    ports.inputs.map((one) => [one.name, one.type, one.isRequired, one.isFree]),
    ports.outputs.map((one) => [one.name, one.type]),
  ]);
  const known = seen.get(ports.name);
  if (known?.key === key) return known.card;
  const card = made(ports);
  seen.set(ports.name, { key, card });
  return card;
}

function made({ name, type, inputs, outputs }: NodePorts): CardType {
  return {
    title: type?.title ?? name,
    description: type?.description ?? "",
    isKnown: type !== null,
    ports: {
      inputs: inputs.map((one) => ({
        ...port(one.name, one.port, one.type && typeText(one.type)),
        required: one.isRequired,
        isFree: one.isFree,
      })),
      outputs: outputs.map((one) => port(one.name, one.port, one.type && typeText(one.type))),
    },
  };
}

function port(name: string, declared: Port | null, type: string | null): CardPort {
  // What stands for many is told apart by its own name: `value_color` is not "Value".
  const title = declared?.many ? titled(name) : declared?.title || titled(name);
  const own: Port = declared ?? { name, type: null, schema: {} };
  const schema = declared?.many ? { ...own.schema, title } : own.schema;
  return {
    name,
    title,
    description: declared?.description ?? "",
    type: type ?? words.anyValue,
    required: declared?.required ?? false,
    isFree: false,
    declared: { ...own, name, title, schema },
  };
}

function titled(name: string): string {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Of operations that take any number of inputs: the next name, and a first value of its type. */
export function useManyInputs(name: string): { stem: string; free: string; first: string | number | boolean }[] {
  return (useTypeOf(name)?.ports.inputs ?? [])
    .filter((one) => one.isFree)
    .map(({ name: free }) => free)
    .map((free) => ({ free, stem: stemOf(name, free), first: firstValue(name, free) }));
}

function stemOf(node: string, port: string): string {
  const type = portsOf(currentDoc(), currentTypes()).get(node)?.type;
  return (type && declarationOf(type, port)?.name) || port.replace(/_\d+$/, "");
}

function firstValue(node: string, port: string): string | number | boolean {
  const type = typeOfPort({ node, port, side: "input" });
  return type === "number" ? 0 : type === "boolean" ? false : "";
}

function cardOf(name: string): CardType | undefined {
  return cardType(portsOf(currentDoc(), currentTypes()).get(name));
}

/** Whether an input has to be given something. */
export function isRequired({ node, port: wanted }: PortAt): boolean {
  return cardOf(node)?.ports.inputs.find((one) => one.name === wanted)?.required ?? false;
}

export function typeOfPort({ node, port: wanted, side }: PortAt): string {
  if (wanted === WHEN) return "boolean";
  const ports = cardOf(node)?.ports;
  const found = (side === "input" ? ports?.inputs : ports?.outputs)?.find((one) => one.name === wanted);
  return found?.type ?? words.anyValue;
}

export function titleOfNode(name: string): string {
  return placeOf(currentDoc(), name)?.title || name;
}

export function titleOfPort(node: string, wanted: string, side: "input" | "output"): string {
  if (wanted === WHEN) return words.when;
  const ports = cardOf(node)?.ports;
  return (side === "input" ? ports?.inputs : ports?.outputs)?.find((one) => one.name === wanted)?.title ?? wanted;
}

/** Every port of one node, outputs first, its condition last. */
export function portsAt(name: string): PortAt[] {
  const ports = cardOf(name)?.ports;
  return [
    ...(ports?.outputs ?? []).map((one) => ({ node: name, port: one.name, side: "output" as const })),
    ...(ports?.inputs ?? []).map((one) => ({ node: name, port: one.name, side: "input" as const })),
    { node: name, port: WHEN, side: "input" },
  ];
}

export function allPorts(): PortAt[] {
  return Object.keys(nodesOf(currentDoc())).flatMap(portsAt);
}

/** The node types that have a port for the link's end, the nearest first. */
export function candidatesFor(held: PortAt): NodeType[] {
  const type = parseType(typeOfPort(held));
  return compatible(currentTypes(), type, held.side).map((fit) => fit.type);
}
