/** The tokens keep their promises: text can be read on every ground, and port types told apart by everybody. */
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

const CSS = readFileSync("src/theme/tokens.css", "utf8");
const THEMES = ["dark", "light"] as const;
const GROUNDS = ["bg", "surface", "raised"];
const TEXTS = ["fg", "fg-muted", "fg-faint", "accent", "ok", "warn", "bad", "info"];
const PORTS = ["text", "image", "mask", "number", "boolean", "audio", "video", "json", "embedding", "adapter", "model"];

type Rgb = [number, number, number];

function tokensOf(theme: string): Map<string, string> {
  const block = new RegExp(`\\[data-theme="${theme}"\\] \\{([^}]*)\\}`).exec(CSS)?.[1] ?? "";
  return new Map([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name = "", color = ""]) => [name, color]));
}

/** Linear light, 0 to 1. */
function linear(color: string): Rgb {
  const parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);
  return parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)) as Rgb;
}

function colorOf(theme: string, name: string): Rgb {
  const color = tokensOf(theme).get(name);
  if (color === undefined) throw new Error(`no --${name} in ${theme}`);
  return linear(color);
}

const luminance = ([red, green, blue]: Rgb) => 0.2126 * red + 0.7152 * green + 0.0722 * blue;

/** WCAG 2.2, "contrast ratio". */
function contrast(one: Rgb, other: Rgb): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

/** Machado, Oliveira and Fernandes 2009, severity 1, on linear light. */
const SEEN_AS: Record<string, [Rgb, Rgb, Rgb]> = {
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

function seenAs(rows: [Rgb, Rgb, Rgb], color: Rgb): Rgb {
  return rows.map((row) => Math.min(1, Math.max(0, row[0] * color[0] + row[1] * color[1] + row[2] * color[2]))) as Rgb;
}

/** Oklab: distances in it are about as large as they look. */
function oklab([red, green, blue]: Rgb): Rgb {
  const l = Math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue);
  const m = Math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue);
  const s = Math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function distance(one: Rgb, other: Rgb): number {
  const [a, b] = [oklab(one), oklab(other)];
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

/** Outlines of the marks, as `port-glyph.tsx` draws them. */
function shapesOf(): Map<string, string> {
  const source = readFileSync("src/ui/port-glyph.tsx", "utf8");
  const table = /SHAPES[^{]*\{([\s\S]*?)\n\};/.exec(source)?.[1] ?? "";
  const rows = table.split(/\n {2}(?=\w+: )/).map((row) => /^\s*(\w+): ([\s\S]*)$/.exec(row));
  return new Map(rows.flatMap((row) => (row === null ? [] : [[row[1] ?? "", row[2] ?? ""]])));
}

describe.each(THEMES)("in the %s theme", (theme) => {
  it.each(GROUNDS.flatMap((ground) => TEXTS.map((text) => [text, ground])))("%s can be read on %s", (text, ground) => {
    expect(contrast(colorOf(theme, text), colorOf(theme, ground))).toBeGreaterThanOrEqual(4.5);
  });

  it.each([
    ["fg", "accent-soft"],
    ["accent", "accent-soft"],
    ["fg", "line"],
    ["fg-muted", "line"],
    ["accent-fg", "accent"],
    ["accent-fg", "accent-hover"],
  ])("%s can be read on %s", (text, ground) => {
    expect(contrast(colorOf(theme, text), colorOf(theme, ground))).toBeGreaterThanOrEqual(4.5);
  });

  it.each(GROUNDS.flatMap((ground) => [...PORTS.map((port) => `p-${port}`), "focus"].map((mark) => [mark, ground])))(
    "the mark %s can be seen on %s",
    (mark, ground) => {
      expect(contrast(colorOf(theme, mark), colorOf(theme, ground))).toBeGreaterThanOrEqual(3);
    },
  );
});

describe("port types", () => {
  it("have a shape each", () => {
    const shapes = shapesOf();
    expect([...shapes.keys()].sort()).toEqual([...PORTS].sort());
    expect(new Set(shapes.values()).size).toBe(PORTS.length);
  });

  const TOLD_APART = [
    ["text", "image"],
    ["text", "adapter"],
    ["image", "mask"],
    ["image", "text"],
    ["number", "text"],
    ["audio", "text"],
    ["video", "image"],
  ];
  const cases = THEMES.flatMap((theme) =>
    Object.keys(SEEN_AS).flatMap((kind) => TOLD_APART.map(([one, other]) => [theme, kind, one, other] as const)),
  );
  it.each(cases)("in %s with %s %s and %s differ in colour too", (theme, kind, one = "", other = "") => {
    const rows = SEEN_AS[kind];
    if (rows === undefined) throw new Error(kind);
    const seen = [one, other].map((port) => seenAs(rows, colorOf(theme, `p-${port}`))) as [Rgb, Rgb];
    expect(distance(seen[0], seen[1])).toBeGreaterThan(0.04);
  });
});
