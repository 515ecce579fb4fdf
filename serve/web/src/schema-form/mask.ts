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
  | "clearRect"
  | "drawImage"
  | "beginPath"
  | "moveTo"
  | "lineTo"
  | "stroke"
>;

interface Sides {
  width: number;
  height: number;
}

/**
 * Draws what is masked in `colour`, and leaves the rest transparent, so that it is seen over any picture. `start` is
 * the mask that was there before, drawn likewise.
 */
export function drawMask(
  on: Drawing,
  size: Sides,
  acts: MaskAct[],
  start: CanvasImageSource | null,
  colour: string,
): void {
  on.globalCompositeOperation = "source-over";
  on.clearRect(0, 0, size.width, size.height);
  if (start !== null) {
    on.drawImage(start, 0, 0, size.width, size.height);
    fill(on, size, "source-in", colour);
  }
  for (const act of acts) {
    if (act.kind === "clear") on.clearRect(0, 0, size.width, size.height);
    else if (act.kind === "invert") fill(on, size, "source-out", colour);
    else stroke(on, act, colour);
  }
}

/** Makes of what `drawMask` drew the mask that the API takes: white is painted anew, black stays. */
export function asBlackAndWhite(on: Drawing, size: Sides): void {
  fill(on, size, "source-in", "#fff");
  fill(on, size, "destination-over", "#000");
}

function fill(on: Drawing, { width, height }: Sides, how: GlobalCompositeOperation, colour: string): void {
  on.globalCompositeOperation = how;
  on.fillStyle = colour;
  on.fillRect(0, 0, width, height);
  on.globalCompositeOperation = "source-over";
}

function stroke(on: Drawing, act: MaskAct & { kind: "stroke" }, colour: string): void {
  const [first, ...rest] = act.points;
  if (first === undefined) return;
  on.globalCompositeOperation = act.erases ? "destination-out" : "source-over";
  on.strokeStyle = colour;
  on.lineWidth = act.size;
  on.lineCap = "round";
  on.lineJoin = "round";
  on.beginPath();
  on.moveTo(first.x, first.y);
  // A line of no length is a dot, where the ends are round.
  for (const point of rest.length > 0 ? rest : [first]) on.lineTo(point.x, point.y);
  on.stroke();
  on.globalCompositeOperation = "source-over";
}

/** Light becomes cover: what of a black and white mask is painted anew is what is seen of it. In place, RGBA. */
export function coverOfLight(pixels: Uint8ClampedArray): void {
  for (let at = 0; at < pixels.length; at += 4) pixels[at + 3] = pixels[at] ?? 0;
}
