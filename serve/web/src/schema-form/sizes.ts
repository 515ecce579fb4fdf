/** Sizes that are offered: about as many pixels as the model's own, in the usual proportions. */
export interface Size {
  width: number;
  height: number;
}

export interface Sides {
  minimum: number;
  maximum: number;
  step: number;
}

const PROPORTIONS: [number, number][] = [
  [1, 1],
  [4, 3],
  [3, 4],
  [16, 9],
  [9, 16],
];
/** Sides of pictures that models were trained on are multiples of this. */
const COARSE = 64;

/** Presets around `own` pixels a side, within what both sides may be; without those that come out the same. */
export function sizesAround(own: number, width: Sides, height: Sides): Size[] {
  const sizes = PROPORTIONS.map(([across, down]) => ({
    width: rounded(own * Math.sqrt(across / down), own, width),
    height: rounded(own * Math.sqrt(down / across), own, height),
  }));
  return sizes.filter(
    (one, index) => sizes.findIndex((other) => other.width === one.width && other.height === one.height) === index,
  );
}

function rounded(side: number, own: number, bounds: Sides): number {
  const unit = Math.max(bounds.step, own >= 8 * COARSE ? COARSE : 2 * bounds.step);
  const near = Math.round(side / unit) * unit;
  const most = Math.floor(bounds.maximum / bounds.step) * bounds.step;
  const least = Math.ceil(bounds.minimum / bounds.step) * bounds.step;
  return Math.min(most, Math.max(least, near));
}
