import fc from "fast-check";
import { expect, it } from "vitest";

import { around, type Box, fitted, seenOf } from "./minimap";

const size = fc.double({ min: 1, max: 5000, noNaN: true });
const place = fc.double({ min: -9000, max: 9000, noNaN: true });
const anyBox: fc.Arbitrary<Box> = fc.record({ x: place, y: place, width: size, height: size });

it("has room for every box", () => {
  fc.assert(
    fc.property(fc.array(anyBox, { minLength: 1 }), (boxes) => {
      const { x, y, scale } = fitted(around(boxes) as Box, 148, 92);
      for (const box of boxes) {
        const [left, top] = [(box.x - x) * scale, (box.y - y) * scale];
        expect(left).toBeGreaterThanOrEqual(5.9);
        expect(top).toBeGreaterThanOrEqual(5.9);
        expect(left + box.width * scale).toBeLessThanOrEqual(142.1);
        expect(top + box.height * scale).toBeLessThanOrEqual(86.1);
      }
    }),
  );
});

it("tells the part that is seen", () => {
  expect(seenOf([-100, 50, 0.5], 800, 600)).toEqual({ x: 200, y: -100, width: 1600, height: 1200 });
  expect(around([])).toBeNull();
});
