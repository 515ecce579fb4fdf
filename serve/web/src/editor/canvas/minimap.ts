/** Pure: how the whole of a workflow, and the part of it that is seen, fit into a small picture. */

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** What the picture shows: the canvas's place of its left upper corner, and how much smaller it is. */
export interface Fitted {
  x: number;
  y: number;
  scale: number;
}

const MARGIN = 6;

/** The least box around all of `boxes`; null where there are none. */
export function around(boxes: Iterable<Box>): Box | null {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y, width, height } of boxes) {
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x + width);
    bottom = Math.max(bottom, y + height);
  }
  return left === Infinity ? null : { x: left, y: top, width: right - left, height: bottom - top };
}

/** `box` in the middle of a picture of this size. */
export function fitted(box: Box, width: number, height: number): Fitted {
  const across = (width - 2 * MARGIN) / Math.max(1, box.width);
  const scale = Math.min(across, (height - 2 * MARGIN) / Math.max(1, box.height));
  const [x, y] = [box.x + box.width / 2 - width / 2 / scale, box.y + box.height / 2 - height / 2 / scale];
  return { x, y, scale };
}

/** The part of the canvas that a view of this size shows. */
export function seenOf([x, y, zoom]: readonly [number, number, number], width: number, height: number): Box {
  return { x: -x / zoom, y: -y / zoom, width: width / zoom, height: height / zoom };
}
