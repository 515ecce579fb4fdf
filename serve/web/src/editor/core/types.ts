/** The document that the editor works on, and what its edits speak of. */
import type { Json, NodeSpec, Schemas, WorkflowSpec } from "@/api/types";

export type Doc = WorkflowSpec;
/** Edits change nothing in place, share what they leave alone, and give the same object where there is nothing to do. */
export type Edit = (doc: Doc) => Doc;

export type Place = Schemas["Place"];
export type Group = Schemas["Group"];
export type Note = Schemas["Note"];
export type InterfaceInput = Schemas["WorkflowInput"];
export type InterfaceOutput = Schemas["WorkflowOutput"];
export type Policy = Schemas["Policy"];

/** An output of a node. */
export interface Source {
  node: string;
  port: string;
}

export type Path = readonly (string | number)[];

/** An input of a node, or a place within its value. `WHEN` as port is the node's condition. */
export interface Target {
  node: string;
  port: string;
  path?: Path;
}

/** The port that a node's condition is; no input can have this name. */
export const WHEN = "@when";

export interface Point {
  x: number;
  y: number;
}

export interface Size {
  width: number;
  height: number;
}

export const EMPTY_DOCUMENT: Doc = { format: "workflow/v1" };

/** `constructor` is a good name for a node: what is not the record's own is not there. */
export function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}

export function nodesOf(doc: Doc): Readonly<Record<string, NodeSpec>> {
  return doc.nodes ?? {};
}

export function nodeOf(doc: Doc, name: string): NodeSpec | undefined {
  return own(doc.nodes, name);
}

/** What the document gives an input; undefined where nothing is given, which null means, too. */
export function valueAt(doc: Doc, node: string, port: string): Json | undefined {
  const spec = nodeOf(doc, node);
  const value = (port === WHEN ? spec?.when : own(spec?.inputs, port)) as Json | undefined;
  return value ?? undefined;
}

export function inputsOf(doc: Doc): readonly InterfaceInput[] {
  return doc.interface?.inputs ?? [];
}

export function outputsOf(doc: Doc): readonly InterfaceOutput[] {
  return doc.interface?.outputs ?? [];
}

export function placeOf(doc: Doc, node: string): Place | undefined {
  return own(doc.layout?.nodes, node);
}
