/** The links of a document: references from an input's value, at any depth, to an output of another node. */
import type { Json, NodeSpec } from "@/api/types";

import { nodeOf, nodesOf, type Doc, type Path, type Source, type Target, WHEN } from "./types";
import { partsOf } from "./values";

export interface Link {
  /** The place of the reference: an input holds one reference at each. Stays the same while other things change. */
  id: string;
  source: Source;
  target: { node: string; port: string; path: Path };
}

/** Where an input of the workflow is used. */
export interface InputUse {
  name: string;
  target: { node: string; port: string; path: Path };
}

interface References {
  name: string;
  links: Link[];
  uses: InputUse[];
}

const ofNodes = new WeakMap<NodeSpec, References>();
const ofDocs = new WeakMap<object, Link[]>();

/** All of them, node by node in the document's order. The same objects for nodes that have not changed. */
export function linksOf(doc: Doc): Link[] {
  const nodes = nodesOf(doc);
  const known = ofDocs.get(nodes);
  if (known !== undefined) return known;
  const found = Object.entries(nodes).flatMap(([name, node]) => referencesOf(name, node).links);
  ofDocs.set(nodes, found);
  return found;
}

/** The links that end at a node. */
export function linksInto(doc: Doc, node: string, port?: string): Link[] {
  const spec = nodeOf(doc, node);
  const links = spec === undefined ? [] : referencesOf(node, spec).links;
  return port === undefined ? links : links.filter((link) => link.target.port === port);
}

/** The links that begin at a node. */
export function linksFrom(doc: Doc, node: string, port?: string): Link[] {
  return linksOf(doc).filter(({ source }) => source.node === node && (port === undefined || source.port === port));
}

export function linkWithId(doc: Doc, id: string): Link | undefined {
  return linksOf(doc).find((link) => link.id === id);
}

/** Where the inputs of the workflow go. */
export function inputUsesOf(doc: Doc): InputUse[] {
  return Object.entries(nodesOf(doc)).flatMap(([name, node]) => referencesOf(name, node).uses);
}

export function idOfTarget({ node, port, path = [] }: Target): string {
  return [node, port, ...path.map((step) => encodeURIComponent(String(step)))].join("/");
}

const needsOfDocs = new WeakMap<object, ReadonlyMap<string, ReadonlySet<string>>>();

/** The nodes that each node waits for, each once. */
export function needsOf(doc: Doc): ReadonlyMap<string, ReadonlySet<string>> {
  const nodes = nodesOf(doc);
  const known = needsOfDocs.get(nodes) ?? reckonedNeeds(doc);
  needsOfDocs.set(nodes, known);
  return known;
}

function reckonedNeeds(doc: Doc): ReadonlyMap<string, ReadonlySet<string>> {
  const needs = new Map<string, Set<string>>(Object.keys(nodesOf(doc)).map((name) => [name, new Set()]));
  for (const { source, target } of linksOf(doc)) if (needs.has(source.node)) needs.get(target.node)?.add(source.node);
  return needs;
}

function referencesOf(name: string, node: NodeSpec): References {
  const known = ofNodes.get(node);
  if (known?.name === name) return known;
  const found: References = { name, links: [], uses: [] };
  for (const [port, value] of Object.entries(node.inputs ?? {})) collect(found, port, value as Json);
  collect(found, WHEN, node.when as Json | undefined);
  ofNodes.set(node, found);
  return found;
}

function collect(found: References, port: string, value: Json | undefined): void {
  for (const { path, reference } of partsOf(value)) {
    const target = { node: found.name, port, path };
    if (reference.kind === "input") found.uses.push({ name: reference.name, target });
    else found.links.push({ id: idOfTarget(target), source: { node: reference.node, port: reference.port }, target });
  }
}
