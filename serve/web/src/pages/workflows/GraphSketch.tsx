/** A small drawing of a workflow: where its nodes are, and what flows from one to another. */
import type { Json, WorkflowSpec } from "@/api/types";

const WIDTH = 220;
const HEIGHT = 120;

interface Box {
  x: number;
  y: number;
}

export function GraphSketch({ document }: { document: WorkflowSpec }) {
  const boxes = boxesOf(document);
  const names = Object.keys(boxes);
  if (names.length === 0) return <div className="h-24" />;
  const xs = names.map((name) => boxes[name]?.x ?? 0);
  const ys = names.map((name) => boxes[name]?.y ?? 0);
  const left = Math.min(...xs) - 20;
  const top = Math.min(...ys) - 20;
  const view = [left, top, Math.max(...xs) - left + WIDTH + 20, Math.max(...ys) - top + HEIGHT + 20];
  return (
    <svg aria-hidden viewBox={view.join(" ")} className="h-24 w-full" preserveAspectRatio="xMidYMid meet">
      {linksOf(document).map(([from, to], index) => {
        const start = boxes[from];
        const end = boxes[to];
        return start && end ? (
          <path key={index} d={curve(start, end)} className="fill-none stroke-line-strong" strokeWidth="8" />
        ) : null;
      })}
      {names.map((name) => (
        <rect
          key={name}
          x={boxes[name]?.x}
          y={boxes[name]?.y}
          width={WIDTH}
          height={HEIGHT}
          rx="16"
          strokeWidth="6"
          className={kindClass(document.nodes?.[name]?.type ?? "")}
        />
      ))}
    </svg>
  );
}

/** Models stand out: they are what costs. */
function kindClass(type: string): string {
  return type.startsWith("op:") ? "fill-surface stroke-line-strong" : "fill-raised stroke-muted";
}

function boxesOf({ nodes = {}, layout }: WorkflowSpec): Record<string, Box> {
  const names = Object.keys(nodes);
  return Object.fromEntries(
    names.map((name, index) => {
      const place = layout?.nodes?.[name];
      return [name, { x: place?.x ?? index * 300, y: place?.y ?? 0 }];
    }),
  );
}

function curve(from: Box, to: Box): string {
  const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2].map(String);
  const middle = String((from.x + WIDTH + to.x) / 2);
  return `M${x1 ?? ""} ${y1 ?? ""}C${middle} ${y1 ?? ""} ${middle} ${y2 ?? ""} ${x2 ?? ""} ${y2 ?? ""}`;
}

function linksOf({ nodes = {} }: WorkflowSpec): [string, string][] {
  return Object.entries(nodes).flatMap(([name, node]) =>
    sourcesIn((node.inputs ?? {}) as Json).map((source): [string, string] => [source, name]),
  );
}

function sourcesIn(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap(sourcesIn);
  if (value === null || typeof value !== "object") return [];
  const ref = value["$ref"];
  if (Array.isArray(ref) && typeof ref[0] === "string") return [ref[0]];
  return Object.values(value).flatMap(sourcesIn);
}
