/** Pure: the document as the diagram's nodes and edges. What has not changed stays the same object, measured as it was. */
import type { Edge, Node } from "@xyflow/react";

import { linksOf } from "@/editor/core/links";
import { type NodePorts, outputPort } from "@/editor/core/ports";
import { noteId, notesOf } from "@/editor/core/placing";
import { typeText } from "@/editor/core/port-types";
import type { WrongLink } from "@/editor/core/wrong-links";
import { type Doc, nodesOf, type Note, type Place, placeOf } from "@/editor/core/types";

export const CARD_WIDTH = 224;

/** What the diagram shows now: the places that it was told, by id. */
export type Told = Map<string, Place | Note | undefined>;

export function nodesFor(doc: Doc, selection: readonly string[], before: readonly Node[], told: Told): Node[] {
  const known = new Map(before.map((node) => [node.id, node]));
  const selected = new Set(selection);
  const made = (id: string, type: string, place: Place | Note | undefined, label: string): Node => {
    const old = known.get(id);
    const isPlaced = old !== undefined && told.has(id) && told.get(id) === place;
    told.set(id, place);
    const isSelected = selected.has(id);
    if (old && isPlaced && (old.selected ?? false) === isSelected && old.ariaLabel === label) return old;
    const position = isPlaced ? old.position : { x: place?.x ?? 0, y: place?.y ?? 0 };
    return {
      ...old,
      ...sizeOf(type, place),
      id,
      type,
      position,
      selected: isSelected,
      ariaLabel: label,
      data: NO_DATA,
    };
  };
  const cards = Object.keys(nodesOf(doc)).map((name) => {
    const place = placeOf(doc, name);
    return made(name, "card", place, place?.title || name);
  });
  const notes = notesOf(doc).map((note, index) => made(noteId(index), "note", note, note.text.slice(0, 80)));
  return [...notes, ...cards];
}

const NO_DATA = {};

function sizeOf(type: string, place: Place | Note | undefined): Pick<Node, "width" | "height"> {
  if (type === "card") return { width: place?.width ?? CARD_WIDTH };
  return { width: place?.width ?? 208, height: place?.height ?? 96 };
}

export function edgesFor(
  doc: Doc,
  ports: ReadonlyMap<string, NodePorts>,
  wrong: ReadonlyMap<string, readonly WrongLink[]>,
  selected: readonly string[],
  before: readonly Edge[],
): Edge[] {
  const known = new Map(before.map((edge) => [edge.id, edge]));
  const nodes = nodesOf(doc);
  return linksOf(doc).flatMap(({ id, source, target }) => {
    if (!Object.hasOwn(nodes, source.node)) return [];
    const type = outputPort(ports.get(source.node), source.port)?.type;
    const written = type ? typeText(type) : "json";
    const isSelected = selected.includes(id);
    const reason = wrong.get(target.node)?.find(({ link }) => link.id === id)?.reason ?? null;
    const old = known.get(id);
    const isSame =
      old?.source === source.node &&
      old.sourceHandle === source.port &&
      old.data?.["type"] === written &&
      old.data["wrong"] === reason &&
      (old.selected ?? false) === isSelected;
    if (isSame) return [old];
    return [
      {
        id,
        type: "link",
        source: source.node,
        sourceHandle: source.port,
        target: target.node,
        targetHandle: target.port,
        selected: isSelected,
        data: { type: written, wrong: reason },
      },
    ];
  });
}

/** Whether two lists hold the same objects. */
export function areSame<T>(one: readonly T[], other: readonly T[]): boolean {
  return one.length === other.length && one.every((item, index) => item === other[index]);
}
