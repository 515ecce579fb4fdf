/** Links that the document has and the compiler refuses, each with its reason. A link is never drawn wrong by itself; one
 * becomes so when what is before it changes: a node that is run over a list gives lists from then on. */
import type { NodeType } from "@/editor/node-types";
import { strings } from "@/strings";

import { typeWithin, typeWords } from "./joining";
import { type Link, linksOf } from "./links";
import { type NodePorts, inputPort, outputPort, portsOf } from "./ports";
import { fits, isStatic, type PortType, typeOf } from "./port-types";
import { type Doc, nodeOf, nodesOf, WHEN } from "./types";

const words = strings.editor.core.reasons;

export interface WrongLink {
  link: Link;
  reason: string;
}

interface Found {
  ports: ReadonlyMap<string, NodePorts>;
  byNode: ReadonlyMap<string, readonly WrongLink[]>;
}

const known = new WeakMap<object, Found>();
const NONE: readonly WrongLink[] = [];

/** The wrong links into each node, by its name; nodes without any are not there. */
export function wrongLinks(doc: Doc, types: readonly NodeType[]): ReadonlyMap<string, readonly WrongLink[]> {
  const ports = portsOf(doc, types);
  const kept = known.get(nodesOf(doc));
  if (kept?.ports === ports) return kept.byNode;
  const byNode = new Map<string, WrongLink[]>();
  for (const link of linksOf(doc)) {
    const reason = reasonOf(doc, ports, link);
    if (reason !== null) byNode.set(link.target.node, [...(byNode.get(link.target.node) ?? []), { link, reason }]);
  }
  known.set(nodesOf(doc), { ports, byNode });
  return byNode;
}

export function wrongInto(doc: Doc, types: readonly NodeType[], node: string): readonly WrongLink[] {
  return wrongLinks(doc, types).get(node) ?? NONE;
}

/** What is wrong in `after` and was not in `before`. */
export function newlyWrong(before: Doc, after: Doc, types: readonly NodeType[]): WrongLink[] {
  const old = new Set([...wrongLinks(before, types).values()].flat().map(({ link }) => link.id));
  return [...wrongLinks(after, types).values()].flat().filter(({ link }) => !old.has(link.id));
}

function reasonOf(doc: Doc, ports: ReadonlyMap<string, NodePorts>, { source, target }: Link): string | null {
  const giver = ports.get(source.node);
  if (giver === undefined) return words.noNode(source.node);
  const output = outputPort(giver, source.port);
  if (output === undefined)
    return hasLists(doc, giver, source.port) ? words.nested : words.noOutput(source.node, source.port);
  const given = output.type;
  if (target.port === WHEN)
    return given === null || fits(given, typeOf("boolean")) ? null : words.condition(typeWords(given));
  const node = ports.get(target.node);
  if (node === undefined || node.type === null) return null;
  const input = inputPort(node, target.port);
  if (input === undefined || input.port === null) return words.noInput(target.node, target.port);
  if (node.odd?.port === target.port)
    return node.odd.nested ? words.nested : words.disagree(typeWords(node.odd.type), typeWords(node.generic));
  return given === null || input.type === null ? null : misfit(given, input.type, target.path);
}

/** Whether the output is there, but would be a list of lists since the node is run over a list. */
function hasLists(doc: Doc, { name, type }: NodePorts, port: string): boolean {
  const isMapped = (nodeOf(doc, name)?.map ?? []).length > 0;
  return isMapped && type !== null && type.outputs.some((one) => one.name === port);
}

function misfit(given: PortType, whole: PortType, path: Link["target"]["path"]): string | null {
  if (isStatic(whole)) return words.isStatic(typeWords(whole));
  const wanted = path.length === 0 ? whole : typeWithin(whole, path);
  if (wanted === null) return words.wrongItem(typeWords(given), typeWords(whole));
  return fits(given, wanted) ? null : words.wrongType(typeWords(given), typeWords(wanted));
}
