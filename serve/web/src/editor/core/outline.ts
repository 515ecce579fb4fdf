/** The workflow as words: nodes in the order in which they can run, each with what comes in and where it goes. */
import type { NodeType } from "@/editor/node-types";
import { strings } from "@/strings";

import { inputUsesOf, type Link, linksFrom, linksInto } from "./links";
import { orderOf } from "./ordering";
import { typeOfNode } from "./palette";
import { type Doc, nodeOf, outputsOf, placeOf, WHEN } from "./types";

export interface OutlineLink {
  link: Link | null;
  /** "image from paint, image". */
  words: string;
}

export interface OutlineNode {
  name: string;
  title: string;
  /** What kind of node it is, for people. */
  kind: string;
  incoming: OutlineLink[];
  outgoing: OutlineLink[];
}

const words = strings.editor.core.outline;

export function titleOf(doc: Doc, name: string): string {
  return placeOf(doc, name)?.title || name;
}

export function outlineOf(doc: Doc, types: readonly NodeType[]): OutlineNode[] {
  return orderOf(doc).map((name) => {
    const node = nodeOf(doc, name);
    const kind = (node && typeOfNode(node, types)?.title) ?? node?.type ?? "";
    return { name, title: titleOf(doc, name), kind, incoming: incoming(doc, name), outgoing: outgoing(doc, name) };
  });
}

function incoming(doc: Doc, name: string): OutlineLink[] {
  const links = linksInto(doc, name).map((link) => {
    const { source, target } = link;
    return { link, words: words.from(portWords(target.port), titleOf(doc, source.node), source.port) };
  });
  const uses = inputUsesOf(doc).filter(({ target }) => target.node === name);
  return [...links, ...uses.map((use) => ({ link: null, words: words.ofInput(portWords(use.target.port), use.name) }))];
}

function outgoing(doc: Doc, name: string): OutlineLink[] {
  const links = linksFrom(doc, name).map((link) => {
    const { source, target } = link;
    return { link, words: words.to(source.port, titleOf(doc, target.node), portWords(target.port)) };
  });
  const outputs = outputsOf(doc).filter(({ from }) => from[0] === name);
  return [...links, ...outputs.map((one) => ({ link: null, words: words.toOutput(one.from[1] ?? "", one.name) }))];
}

function portWords(port: string): string {
  return port === WHEN ? words.condition : port;
}
