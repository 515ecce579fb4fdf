/** The mark of a port's type: a colour and a shape, so that either is enough. */
import type { JSX } from "react";

/** Of the API's port types; a list has its item's mark twice. */
export type PortKind =
  "text" | "number" | "boolean" | "image" | "mask" | "audio" | "video" | "json" | "embedding" | "adapter" | "model";

const SHAPES: Record<PortKind, JSX.Element> = {
  text: <circle cx="6" cy="6" r="4" />,
  image: <rect x="2" y="2" width="8" height="8" />,
  mask: <rect x="2.75" y="2.75" width="6.5" height="6.5" fill="none" strokeWidth="1.5" stroke="currentColor" />,
  number: <path d="M6 2.5 9.5 6 6 9.5 2.5 6Z" />,
  adapter: <path d="M6 0.8 11.2 6 6 11.2 0.8 6Z" />,
  boolean: <path d="M6 1.8 10.6 10H1.4Z" />,
  audio: <rect x="1" y="3.5" width="10" height="5" rx="2.5" />,
  video: <path d="M1 1h7v7H1ZM4 4h7v7H4Z" fillRule="evenodd" />,
  json: (
    <path
      d="M5 1.5C3 1.5 4 6 2 6c2 0 1 4.5 3 4.5M7 1.5C9 1.5 8 6 10 6c-2 0-1 4.5-3 4.5"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
    />
  ),
  embedding: <path d="M2 2h2v8H2ZM5 4h2v6H5ZM8 1h2v9H8Z" />,
  model: <path d="M6 1 10.4 3.5v5L6 11 1.6 8.5v-5Z" />,
};

export function kindOf(type: string): PortKind {
  const kind = /^list\[(.*)\]$/.exec(type)?.[1] ?? type;
  return kind in SHAPES ? (kind as PortKind) : "json";
}

export function portColor(type: string): string {
  return `var(--p-${kindOf(type)})`;
}

export function PortGlyph({ type, size = 12 }: { type: string; size?: number }) {
  const isList = type.startsWith("list[");
  return (
    <svg
      aria-hidden
      width={size}
      height={size}
      viewBox="0 0 12 12"
      fill="currentColor"
      style={{ color: portColor(type) }}
    >
      {isList && (
        <g opacity="0.5" transform="translate(2 -2)">
          {SHAPES[kindOf(type)]}
        </g>
      )}
      {SHAPES[kindOf(type)]}
    </svg>
  );
}
