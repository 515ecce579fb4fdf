/** Edits of nodes and of what they are given. */
import type { Json, NodeSpec, Schemas } from "@/api/types";
import type { NodeType } from "@/editor/node-types";

import { freshName, isName, nameForType } from "./names";
import { filterItems, mapItems, mapValues, patched, withKey, withKeyRenamed, withoutKeys, withPart } from "./records";
import { type Doc, type Edit, nodeOf, nodesOf, own, type Place, type Point, type Policy, WHEN } from "./types";
import { mapReferences, type Reference } from "./values";

export interface NewNode {
  type: string;
  task?: string | null;
  name: string;
  at?: Point;
  inputs?: Record<string, Json>;
}

/** The node that a palette's entry begins with; `name` is fresh in the document. */
export function newNode(doc: Doc, nodeType: NodeType, types: readonly NodeType[], at?: Point): NewNode {
  const isTaken = (name: string) => nodeOf(doc, name) !== undefined;
  const name = freshName(nameForType(nodeType.type, nodeType.title), isTaken);
  const isOneOfSeveral = types.filter((one) => one.type === nodeType.type).length > 1;
  // Only nodes `model:` are told their task, and only where the model does several.
  const task = nodeType.type.startsWith("model:") && isOneOfSeveral ? nodeType.task : null;
  return { type: nodeType.type, name, ...(task ? { task } : {}), ...(at ? { at } : {}) };
}

export function addNode({ type, task, name, at, inputs }: NewNode): Edit {
  return (doc) => {
    if (nodeOf(doc, name) !== undefined || !isName(name)) return doc;
    const given = inputs && Object.keys(inputs).length > 0 ? { inputs } : {};
    const node: NodeSpec = { type, ...(task ? { task: task as Schemas["Task"] } : {}), ...given };
    const added = { ...doc, nodes: { ...doc.nodes, [name]: node } };
    return at ? withPlace(added, name, { x: at.x, y: at.y }) : added;
  };
}

/** Takes nodes away, with the links from them, their places, and the outputs of the workflow that they were. */
export function removeNodes(names: Iterable<string>): Edit {
  const gone = new Set(names);
  return (doc) => {
    const nodes = withoutKeys(nodesOf(doc), (name) => gone.has(name));
    if (nodes === nodesOf(doc)) return doc;
    const unlinked = mapValues(nodes, (node) =>
      changedReferences(node, (one, whole) => (one.kind === "node" && gone.has(one.node) ? undefined : whole)),
    );
    const rest = withPart(doc, "nodes", () => unlinked);
    return withoutPlaces(withoutOutputs(rest, gone), gone);
  };
}

function withoutOutputs(doc: Doc, gone: ReadonlySet<string>): Doc {
  return withPart(
    doc,
    "interface",
    (part) =>
      part &&
      withPart(part, "outputs", (outputs) => outputs && filterItems(outputs, ({ from }) => !gone.has(from[0] ?? ""))),
  );
}

function withoutPlaces(doc: Doc, gone: ReadonlySet<string>): Doc {
  return withPart(doc, "layout", (layout) => {
    if (layout === undefined) return layout;
    const rest = withPart(layout, "nodes", (places) => places && withoutKeys(places, (name) => gone.has(name)));
    return withPart(rest, "groups", (groups) => {
      const left = mapItems(groups ?? [], (group) =>
        withPart(group, "nodes", (inside) => inside && filterItems(inside, (name) => !gone.has(name))),
      );
      // A frame around nothing goes with the last node in it.
      return groups && filterItems(left, (group, index) => group === groups[index] || (group.nodes ?? []).length > 0);
    });
  });
}

/** Calls a node otherwise, everywhere. Nothing happens where the name is none, or taken. */
export function renameNode(from: string, to: string): Edit {
  return (doc) => {
    if (from === to || !isName(to) || nodeOf(doc, from) === undefined || nodeOf(doc, to) !== undefined) return doc;
    const nodes = mapValues(withKeyRenamed(nodesOf(doc), from, to), (node) =>
      changedReferences(node, (one, whole) =>
        one.kind === "node" && one.node === from ? { $ref: [to, one.port] } : whole,
      ),
    );
    return renamedElsewhere({ ...doc, nodes }, from, to);
  };
}

function renamedElsewhere(doc: Doc, from: string, to: string): Doc {
  const faced = withPart(
    doc,
    "interface",
    (part) =>
      part &&
      withPart(
        part,
        "outputs",
        (outputs) =>
          outputs &&
          mapItems(outputs, (one) => (one.from[0] === from ? { ...one, from: [to, one.from[1] ?? ""] } : one)),
      ),
  );
  return withPart(faced, "layout", (layout) => {
    if (layout === undefined) return layout;
    const placed = withPart(layout, "nodes", (places) => places && withKeyRenamed(places, from, to));
    return withPart(
      placed,
      "groups",
      (groups) =>
        groups &&
        mapItems(groups, (group) =>
          withPart(group, "nodes", (inside) => inside && mapItems(inside, (name) => (name === from ? to : name))),
        ),
    );
  });
}

/** The node with its references changed, those of its condition included. */
export function changedReferences(
  node: NodeSpec,
  change: (reference: Reference, whole: Json) => Json | undefined,
): NodeSpec {
  const given = withPart(node, "inputs", (inputs) => inputs && withReferences(inputs as Record<string, Json>, change));
  const lost = Object.keys(node.inputs ?? {}).filter((port) => own(given.inputs, port) === undefined);
  // A node cannot be run over an input that is given nothing.
  const run = lost.length === 0 ? given : withoutMap(given, (port) => lost.includes(port));
  return withKey(run, "when", mapReferences(node.when as Json | undefined, change));
}

function withReferences(inputs: Record<string, Json>, change: (reference: Reference, whole: Json) => Json | undefined) {
  const next = mapValues<Json | undefined>(inputs, (value) => mapReferences(value, change));
  return withoutKeys(next, (port) => next[port] === undefined);
}

function withoutMap(node: NodeSpec, isGone: (port: string) => boolean): NodeSpec {
  return withPart(node, "map", (map) => map && filterItems(map, (port) => !isGone(port)));
}

/** `change` done to one node; nothing where it is not there. */
export function changeNode(name: string, change: (node: NodeSpec) => NodeSpec): Edit {
  return (doc) => {
    const node = nodeOf(doc, name);
    const next = node && change(node);
    return next === undefined || next === node ? doc : { ...doc, nodes: { ...doc.nodes, [name]: next } };
  };
}

/** Gives an input (or the condition, `WHEN`) a value as documents write it, references included. */
export function setInput(name: string, port: string, value: Json): Edit {
  if (value === null) return clearInput(name, port);
  if (port === WHEN) return changeNode(name, (node) => withKey(node, "when", value));
  return changeNode(name, (node) => withPart(node, "inputs", (inputs) => withKey(inputs, port, value)));
}

/** Gives an input nothing: its default holds again. */
export function clearInput(name: string, port: string): Edit {
  if (port === WHEN) return changeNode(name, (node) => withKey(node, "when", undefined));
  return changeNode(name, (node) => {
    const cleared = withPart(node, "inputs", (inputs) => inputs && withKey(inputs, port, undefined));
    return withoutMap(cleared, (one) => one === port);
  });
}

/** Another type for a node: a model for another one. What it is given stays. */
export function setType(name: string, type: string, task?: string | null): Edit {
  return changeNode(name, (node) => patched(node, { type, task: (task ?? undefined) as Schemas["Task"] | undefined }));
}

/** Has a node run once for each item of the list that `port` is given, or not any more. */
export function setMap(name: string, port: string, isMapped: boolean): Edit {
  return changeNode(name, (node) =>
    withPart(node, "map", (map = []) => {
      if (map.includes(port) === isMapped) return map;
      return isMapped ? [...map, port] : map.filter((one) => one !== port);
    }),
  );
}

export function setPolicy(name: string, patch: Partial<Policy>): Edit {
  return changeNode(name, (node) => withPart(node, "policy", (policy) => patched(policy ?? {}, patch)));
}

/** Of a node that is run over a list: how many items at the most, how many at a time. Undefined: as usual. */
export function setLimits(name: string, patch: Pick<NodeSpec, "maxItems" | "concurrency">): Edit {
  return changeNode(name, (node) => patched(node, patch));
}

/** The document with a part of a node's place changed. */
export function withPlace(doc: Doc, name: string, patch: Partial<Place>): Doc {
  return withPart(doc, "layout", (layout) =>
    withPart(layout ?? {}, "nodes", (places) => {
      const place = own(places, name);
      const next = patched(place ?? {}, patch);
      return next === place ? places : withKey(places, name, next);
    }),
  );
}
