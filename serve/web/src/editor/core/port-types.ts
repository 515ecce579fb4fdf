/** The types of ports, and which may be given for which: `serve/domain/port_types.py`, whose answers `joins.json` has. */

export const KINDS = [
  "text",
  "number",
  "boolean",
  "image",
  "mask",
  "audio",
  "video",
  "json",
  "embedding",
  "adapter",
  "model",
] as const;

export type Kind = (typeof KINDS)[number];

export interface PortType {
  readonly kind: Kind;
  readonly isList: boolean;
}

const WIDENS: Partial<Record<Kind, readonly Kind[]>> = {
  number: ["text", "json"],
  boolean: ["text", "json"],
  text: ["json"],
  embedding: ["json"],
  mask: ["image"],
};

/** One object for each type, so that types can be compared as they are. */
const ALL = new Map<string, PortType>(
  KINDS.flatMap((kind) => [
    [kind, { kind, isList: false }],
    [`list[${kind}]`, { kind, isList: true }],
  ]),
);

/** The type that `text` writes; null where it is none (`T`, `list[T]`, or unknown). */
export function parseType(text: string | null | undefined): PortType | null {
  return ALL.get(text ?? "") ?? null;
}

export function typeOf(kind: Kind, isList = false): PortType {
  return ALL.get(isList ? `list[${kind}]` : kind) as PortType;
}

export function typeText(type: PortType): string {
  return type.isList ? `list[${type.kind}]` : type.kind;
}

export const JSON_TYPE = typeOf("json");

/** A list of these; null of a list, for lists do not nest. */
export function listed(type: PortType): PortType | null {
  return type.isList ? null : typeOf(type.kind, true);
}

/** What is in a list; null of what is none. */
export function itemOf(type: PortType): PortType | null {
  return type.isList ? typeOf(type.kind) : null;
}

/** Whether a value of this type may be given where `wanted` is asked for. */
export function fits(given: PortType, wanted: PortType): boolean {
  const widened = WIDENS[given.kind] ?? [];
  if (wanted === JSON_TYPE) return given.kind === "json" || widened.includes("json");
  return given.isList === wanted.isList && (given.kind === wanted.kind || widened.includes(wanted.kind));
}

/** Whether values are known when a run is accepted, and so are never computed. */
export function isStatic(type: PortType): boolean {
  return type.kind === "adapter" || type.kind === "model";
}
