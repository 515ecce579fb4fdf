/** Nodes in an order in which each comes after what it needs. */
import { needsOf } from "./links";
import { type Doc, nodesOf } from "./types";

/** All of them; those on a circle, or behind one, come last as the document has them. */
export function orderOf(doc: Doc): string[] {
  const needs = needsOf(doc);
  const numOpen = new Map([...needs].map(([name, others]) => [name, others.size]));
  const followers = new Map<string, string[]>();
  for (const [name, others] of needs)
    for (const other of others) followers.set(other, [...(followers.get(other) ?? []), name]);
  const ready = [...needs.keys()].filter((name) => numOpen.get(name) === 0);
  for (const name of ready)
    for (const follower of followers.get(name) ?? []) {
      const left = (numOpen.get(follower) ?? 0) - 1;
      numOpen.set(follower, left);
      if (left === 0) ready.push(follower);
    }
  const placed = new Set(ready);
  return [...ready, ...Object.keys(nodesOf(doc)).filter((name) => !placed.has(name))];
}

const ancestors = new WeakMap<object, Map<string, Set<string>>>();

/** The nodes that a node waits for, directly or not, and itself. */
export function ancestorsOf(doc: Doc, name: string): ReadonlySet<string> {
  const nodes = nodesOf(doc);
  const known = ancestors.get(nodes) ?? new Map<string, Set<string>>();
  ancestors.set(nodes, known);
  const found = known.get(name) ?? new Set([name]);
  if (!known.has(name)) for (const one of found) for (const other of needsOf(doc).get(one) ?? []) found.add(other);
  known.set(name, found);
  return found;
}

/** A way along links from `from` to `to`, both included; null where there is none. */
export function wayBetween(doc: Doc, from: string, to: string): string[] | null {
  if (!ancestorsOf(doc, to).has(from)) return null;
  const needs = needsOf(doc);
  const next = new Map<string, string>();
  const waiting = [to];
  const seen = new Set(waiting);
  for (const name of waiting) {
    if (name === from) return walked(next, from, to);
    for (const other of needs.get(name) ?? [])
      if (!seen.has(other)) {
        seen.add(other);
        next.set(other, name);
        waiting.push(other);
      }
  }
  return null;
}

function walked(next: ReadonlyMap<string, string>, from: string, to: string): string[] {
  const way = [from];
  for (let name = from; name !== to;) {
    name = next.get(name) as string;
    way.push(name);
  }
  return way;
}
