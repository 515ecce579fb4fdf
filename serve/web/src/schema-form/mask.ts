/** A mask as what was done to it, in order: undoing takes the last act away, and any size can be drawn from it. */

export interface Point {
  x: number;
  y: number;
}

export type MaskAct =
  { kind: "stroke"; erases: boolean; size: number; points: Point[] } | { kind: "clear" } | { kind: "invert" };

export interface MaskHistory {
  past: MaskAct[];
  future: MaskAct[];
}

export const UNTOUCHED: MaskHistory = { past: [], future: [] };

export function done(history: MaskHistory, act: MaskAct): MaskHistory {
  return { past: [...history.past, act], future: [] };
}

export function undone({ past, future }: MaskHistory): MaskHistory {
  const last = past.at(-1);
  return last === undefined ? { past, future } : { past: past.slice(0, -1), future: [last, ...future] };
}

export function redone({ past, future }: MaskHistory): MaskHistory {
  const next = future[0];
  return next === undefined ? { past, future } : { past: [...past, next], future: future.slice(1) };
}

/** What drawing needs of a canvas: its two-dimensional context has it. */
export type Drawing = Pick<
  CanvasRenderingContext2D,
  | "fillStyle"
  | "strokeStyle"
  | "lineWidth"
  | "lineCap"
  | "lineJoin"
  | "globalCompositeOperation"
  | "fillRect"
  | "drawImage"
  | "beginPath"
  | "moveTo"
  | "lineTo"
  | "stroke"
>;

const WHITE = "#fff";
const BLACK = "#000";

/** Draws the mask: white is painted anew, black stays. `start` is the mask that was there before. */
export function drawMask(
  on: Drawing,
  size: { width: number; height: number },
  acts: MaskAct[],
  start: CanvasImageSource | null,
): void {
  fill(on, size, BLACK);
  if (start !== null) on.drawImage(start, 0, 0, size.width, size.height);
  for (const act of acts) {
    if (act.kind === "clear") fill(on, size, BLACK);
    else if (act.kind === "invert") invert(on, size);
    else stroke(on, act);
  }
}

function fill(on: Drawing, { width, height }: { width: number; height: number }, colour: string): void {
  on.globalCompositeOperation = "source-over";
  on.fillStyle = colour;
  on.fillRect(0, 0, width, height);
}

function invert(on: Drawing, size: { width: number; height: number }): void {
  on.globalCompositeOperation = "difference";
  on.fillStyle = WHITE;
  on.fillRect(0, 0, size.width, size.height);
  on.globalCompositeOperation = "source-over";
}

function stroke(on: Drawing, act: MaskAct & { kind: "stroke" }): void {
  const [first, ...rest] = act.points;
  if (first === undefined) return;
  on.globalCompositeOperation = "source-over";
  on.strokeStyle = act.erases ? BLACK : WHITE;
  on.lineWidth = act.size;
  on.lineCap = "round";
  on.lineJoin = "round";
  on.beginPath();
  on.moveTo(first.x, first.y);
  // A line of no length is a dot, where the ends are round.
  for (const point of rest.length > 0 ? rest : [first]) on.lineTo(point.x, point.y);
  on.stroke();
}
