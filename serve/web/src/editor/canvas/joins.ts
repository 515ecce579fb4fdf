/** Joining two ports, whichever way the link was drawn: done and said, or refused with its reason. */
import { canJoin, type Joining } from "@/editor/core/joining";
import { connect } from "@/editor/core/connecting";
import type { Link } from "@/editor/core/links";
import type { Doc, Source, Target } from "@/editor/core/types";
import { newlyWrong } from "@/editor/core/wrong-links";
import { strings } from "@/strings";
import { toast } from "@/ui/toast";

import { edit } from "./commands";
import { allPorts, titleOfNode, titleOfPort } from "./graph";
import { useJoinable, keyOf } from "./joinable";
import { type PortAt, say } from "./view";
import { currentDoc, currentTypes } from "./opened";

const words = strings.editor.canvas;

interface Ends {
  source: Source;
  target: Target;
}

/** Null where both are inputs, or both outputs. */
export function endsOf(one: PortAt, other: PortAt): Ends | null {
  if (one.side === other.side) return null;
  const [from, to] = one.side === "output" ? [one, other] : [other, one];
  return { source: { node: from.node, port: from.port }, target: { node: to.node, port: to.port } };
}

export function joiningOf(one: PortAt, other: PortAt): Joining | null {
  const ends = endsOf(one, other);
  return ends && canJoin(currentDoc(), currentTypes(), ends.source, ends.target);
}

/** Joins them, or says why not. */
export function join(one: PortAt, other: PortAt): boolean {
  const ends = endsOf(one, other);
  if (ends === null) return false;
  const { source, target } = ends;
  const joining = canJoin(currentDoc(), currentTypes(), source, target);
  if (!joining.ok) {
    refuse(joining.reason);
    return false;
  }
  const isReplacing = joining.replaces !== undefined;
  const before = currentDoc();
  edit(connect(currentTypes(), source, target), words.edits.join);
  const from = `${titleOfNode(source.node)}: ${titleOfPort(source.node, source.port, "output")}`;
  const to = `${titleOfNode(target.node)}: ${titleOfPort(target.node, target.port, "input")}`;
  if (joining.maps) say(words.said.mapped(from, to, titleOfNode(target.node)));
  else say(isReplacing ? words.said.replaced(from, to) : words.said.joined(from, to));
  tellWrong(before);
  return true;
}

/** A link may make another one wrong, further on: a node that is now run over a list gives lists. Said at once. */
export function tellWrong(before: Doc): void {
  const [first] = newlyWrong(before, currentDoc(), currentTypes());
  if (first === undefined) return;
  const sentence = words.nowWrong(wordsOfLink(first.link), first.reason);
  toast(sentence);
  say(sentence);
}

export function wordsOfLink({ source, target }: Pick<Link, "source" | "target">): string {
  const output = titleOfPort(source.node, source.port, "output");
  return words.link(
    titleOfNode(source.node),
    output,
    titleOfNode(target.node),
    titleOfPort(target.node, target.port, "input"),
  );
}

export function refuse(reason: string): void {
  const sentence = words.refused(reason);
  toast(sentence);
  say(sentence);
}

/** Every port that `from` can be joined to. */
export function partnersOf(from: PortAt): PortAt[] {
  return allPorts().filter((to) => to.side !== from.side && joiningOf(from, to)?.ok === true);
}

/** Shows on all cards which ports the link that is being drawn may end at. */
export function beginJoining(from: PortAt): void {
  useJoinable.setState({ fitting: new Set([keyOf(from), ...partnersOf(from).map(keyOf)]) });
}

export function endJoining(): void {
  useJoinable.setState({ fitting: null });
}
