/** Tidying, aligning and distributing: where the selected nodes and notes go. What is not selected stays. */
import { graphlib, layout as dagreLayout } from "@dagrejs/dagre";

import { linksOf } from "./links";
import { moveNodes, noteIndex, notesOf } from "./placing";
import { type Doc, type Edit, nodesOf, placeOf, type Point, type Size } from "./types";

/** How large things are on the canvas, by id, as they were measured. */
export type Sizes = Readonly<Record<string, Size>>;
export type Edge = "left" | "right" | "top" | "bottom" | "middle" | "center";
export type Axis = "horizontal" | "vertical";

interface Box extends Point, Size {
  id: string;
}

const USUAL: Size = { width: 260, height: 160 };
const GAP = { between: 48, ranks: 96 };

/** In columns from left to right, along the links; `ids` alone, or all nodes. Its upper left corner stays where it is. */
export function tidy(sizes: Sizes, ids?: readonly string[]): Edit {
  return (doc) => {
    const names = Object.keys(nodesOf(doc)).filter((name) => ids === undefined || ids.includes(name));
    if (names.length < 2) return doc;
    const boxes = names.map((name) => boxOf(doc, sizes, name));
    return moveNodes(inPlaceOf(boxes, ranked(doc, boxes)))(doc);
  };
}

function ranked(doc: Doc, boxes: readonly Box[]): Record<string, Point> {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: GAP.between, ranksep: GAP.ranks });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of boxes) graph.setNode(id, { width, height });
  for (const { source, target } of linksOf(doc))
    if (graph.hasNode(source.node) && graph.hasNode(target.node)) graph.setEdge(source.node, target.node);
  dagreLayout(graph);
  const places = boxes.map(({ id, width, height }) => {
    const { x, y } = graph.node(id) as Point;
    return [id, { x: x - width / 2, y: y - height / 2 }] as const;
  });
  return Object.fromEntries(places);
}

/** `places`, shifted so that their upper left corner is where that of `boxes` is. */
function inPlaceOf(boxes: readonly Box[], places: Record<string, Point>): Record<string, Point> {
  const all = Object.values(places);
  const dx = least(boxes, "x") - least(all, "x");
  const dy = least(boxes, "y") - least(all, "y");
  const moved = Object.entries(places).map(([id, { x, y }]) => [id, rounded({ x: x + dx, y: y + dy })] as const);
  return Object.fromEntries(moved);
}

function least(points: readonly Point[], axis: "x" | "y"): number {
  return Math.min(...points.map((point) => point[axis]));
}

function rounded({ x, y }: Point): Point {
  return { x: Math.round(x), y: Math.round(y) };
}

/** Along an edge of what is furthest that way, or along the middle of them all. */
export function align(sizes: Sizes, ids: readonly string[], edge: Edge): Edit {
  return (doc) => {
    const boxes = ids.map((id) => boxOf(doc, sizes, id));
    if (boxes.length < 2) return doc;
    const [left, top] = [least(boxes, "x"), least(boxes, "y")];
    const right = Math.max(...boxes.map(({ x, width }) => x + width));
    const bottom = Math.max(...boxes.map(({ y, height }) => y + height));
    const place = ({ x, y, width, height }: Box): Point => {
      if (edge === "left") return { x: left, y };
      if (edge === "right") return { x: right - width, y };
      if (edge === "top") return { x, y: top };
      if (edge === "bottom") return { x, y: bottom - height };
      return edge === "center" ? { x: (left + right - width) / 2, y } : { x, y: (top + bottom - height) / 2 };
    };
    return moveNodes(Object.fromEntries(boxes.map((box) => [box.id, place(box)])))(doc);
  };
}

/** With the same gap between each and the next; the first and the last stay. */
export function distribute(sizes: Sizes, ids: readonly string[], axis: Axis): Edit {
  return (doc) => {
    const [at, long] = axis === "horizontal" ? (["x", "width"] as const) : (["y", "height"] as const);
    const boxes = ids.map((id) => boxOf(doc, sizes, id)).sort((one, other) => one[at] - other[at]);
    const [first, last] = [boxes[0], boxes.at(-1)];
    if (first === undefined || last === undefined || boxes.length < 3) return doc;
    const taken = boxes.reduce((sum, box) => sum + box[long], 0);
    const gap = (last[at] + last[long] - first[at] - taken) / (boxes.length - 1);
    let next = first[at];
    const places = boxes.map((box) => {
      const place = { x: box.x, y: box.y, [at]: box === last ? last[at] : next };
      next += box[long] + gap;
      return [box.id, place] as const;
    });
    return moveNodes(Object.fromEntries(places))(doc);
  };
}

/** Onto a grid. */
export function snap(ids: readonly string[], grid: number): Edit {
  return (doc) => {
    const on = (value: number) => Math.round(value / grid) * grid;
    const places = ids.map((id) => {
      const { x, y } = pointOf(doc, id);
      return [id, { x: on(x), y: on(y) }] as const;
    });
    return moveNodes(Object.fromEntries(places))(doc);
  };
}

export function pointOf(doc: Doc, id: string): Point {
  const index = noteIndex(id);
  const { x = 0, y = 0 } = (index === null ? placeOf(doc, id) : notesOf(doc)[index]) ?? {};
  return { x, y };
}

function boxOf(doc: Doc, sizes: Sizes, id: string): Box {
  return { id, ...pointOf(doc, id), ...(sizes[id] ?? USUAL) };
}

/** Where a new node goes that is joined to another: beside it, and below what is there already. */
export function placeBeside(doc: Doc, sizes: Sizes, id: string, side: "before" | "after"): Point {
  const box = boxOf(doc, sizes, id);
  const x = side === "after" ? box.x + box.width + GAP.ranks : box.x - USUAL.width - GAP.ranks;
  let y = box.y;
  const others = Object.keys(nodesOf(doc)).map((name) => boxOf(doc, sizes, name));
  const covers = (other: Box) =>
    other.x < x + USUAL.width && x < other.x + other.width && other.y < y + USUAL.height && y < other.y + other.height;
  for (let other = others.find(covers); other !== undefined; other = others.find(covers))
    y = other.y + other.height + GAP.between;
  return { x, y };
}

/** The nodes of a document that says nothing of their places, tidied; one that says it is left alone. */
export function placed(sizes: Sizes = {}): Edit {
  return (doc) => {
    const names = Object.keys(nodesOf(doc));
    const lost = names.filter((name) => placeOf(doc, name) === undefined);
    if (lost.length === 0) return doc;
    return lost.length === names.length ? placedAll(sizes)(doc) : tidy(sizes, lost)(doc);
  };
}

function placedAll(sizes: Sizes): Edit {
  return (doc) => {
    const only = Object.keys(nodesOf(doc));
    return only.length === 1 ? moveNodes({ [only[0] as string]: { x: 0, y: 0 } })(doc) : tidy(sizes)(doc);
  };
}
