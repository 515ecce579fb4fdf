/** Edits of links. */
import type { NodeType } from "@/editor/node-types";

import { canJoin, type Joining } from "./joining";
import { type Link, linksInto, linkWithId } from "./links";
import { setInput, setMap } from "./nodes";
import type { Doc, Edit, Source, Target } from "./types";
import { valueAt } from "./types";
import { refTo, withAt, withoutAt } from "./values";

/** Joins an output to an input, in the place of what is there; among the others, where the input takes a list. Nothing
 * happens where `canJoin` refuses. */
export function connect(types: readonly NodeType[], source: Source, target: Target): Edit {
  return (doc) => joined(doc, source, canJoin(doc, types, source, target));
}

function joined(doc: Doc, source: Source, joining: Joining): Doc {
  if (!joining.ok) return doc;
  const { node, port, path } = joining.target;
  const old = valueAt(doc, node, port);
  const within = path.length > 0 && typeof path[0] === "number" && !Array.isArray(old) ? [] : old;
  const linked = setInput(node, port, path.length === 0 ? refTo(source) : withAt(within, path, refTo(source)))(doc);
  if (joining.maps) return setMap(node, port, true)(linked);
  return joining.unmaps ? setMap(node, port, false)(linked) : linked;
}

/** Takes links away, by their ids; an input that then has nothing is given nothing. */
export function disconnect(ids: Iterable<string>): Edit {
  return (doc) => {
    const links = [...ids].map((id) => linkWithId(doc, id)).filter((link) => link !== undefined);
    // From the last to the first: what is taken out of a list moves what comes after it.
    return links.sort((one, other) => compare(other, one)).reduce(unlinked, doc);
  };
}

/** Takes all links into an input away. */
export function disconnectInput(node: string, port: string): Edit {
  return (doc) => disconnect(linksInto(doc, node, port).map((link) => link.id))(doc);
}

/** Moves an end of a link: it goes where it was, and comes where it is dropped. Nothing happens where that is refused. */
export function reconnect(types: readonly NodeType[], id: string, source: Source, target: Target): Edit {
  return (doc) => {
    const freed = disconnect([id])(doc);
    const linked = connect(types, source, target)(freed);
    return linked === freed ? doc : linked;
  };
}

function compare(one: Link, other: Link): number {
  const [a, b] = [one.target.path, other.target.path];
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const [left, right] = [a[index], b[index]];
    if (left === right) continue;
    return typeof left === "number" && typeof right === "number" ? left - right : String(left) < String(right) ? -1 : 1;
  }
  return a.length - b.length;
}

function unlinked(doc: Doc, { target }: Link): Doc {
  const { node, port, path } = target;
  const left = withoutAt(valueAt(doc, node, port), path);
  return setInput(node, port, left ?? null)(doc);
}
