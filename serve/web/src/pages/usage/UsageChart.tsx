/** Usage over time as bars that stand on one another. Drawn on a canvas; the tables of the page say the same. */
import "uplot/dist/uPlot.min.css";

import { useEffect, useRef, useState } from "react";
import UPlot from "uplot";

import { strings } from "@/strings";

import { type Granularity, whenOf } from "./asked";
import { colorOf } from "./colors";
import { inWords, type Series, stacked } from "./series";

const WORDS = strings.usage;
const HEIGHT = 220;
const TICK_SPACE = 72;
const BAR = 0.7;
const WIDEST_BAR = 40;

export interface UsageChartProps {
  label: string;
  series: Series[];
  starts: number[];
  granularity: Granularity;
  measure: string;
}

export default function UsageChart(props: UsageChartProps) {
  const { label, series, starts, granularity, measure } = props;
  const place = useRef<HTMLDivElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const theme = useTheme();
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const chart = new UPlot(optionsOf(props, element.clientWidth, setPointed), dataOf(series, starts), element);
    const sizes = new ResizeObserver(() => {
      chart.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    sizes.observe(element);
    return () => {
      sizes.disconnect();
      chart.destroy();
    };
    // The colours are read from the theme when it is drawn.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [series, starts, granularity, measure, theme]);
  return (
    <figure>
      <div ref={place} role="img" aria-label={`${label}. ${WORDS.chartHint}`} className="min-h-[220px] w-full" />
      <figcaption className="h-5 text-sm text-muted">
        {pointed === null ? WORDS.hover : readOut(props, pointed)}
      </figcaption>
    </figure>
  );
}

function readOut({ series, starts, granularity, measure }: UsageChartProps, index: number): string {
  const total = series.reduce((sum, { values }) => sum + (values[index] ?? 0), 0);
  const parts = series.flatMap(({ name, values }) => {
    const value = values[index] ?? 0;
    return value === 0 || name === null ? [] : [`${name || WORDS.nothing} ${inWords(measure, value)}`];
  });
  const told = WORDS.inPeriod(whenOf(starts[index] ?? 0, granularity), inWords(measure, total));
  return parts.length > 1 ? `${told} (${parts.join(", ")})` : told;
}

/** The tallest first, so that those before it are drawn over it. */
function dataOf(series: Series[], starts: number[]): UPlot.AlignedData {
  return [starts.map((start) => start / 1000), ...stacked(series).reverse()];
}

function optionsOf(props: UsageChartProps, width: number, point: (index: number | null) => void): UPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const axis = { stroke: color("--fg-faint"), font: `11px ${color("--font-ui")}`, ticks: { show: false } };
  const bars = UPlot.paths.bars?.({ size: [BAR, WIDEST_BAR] });
  return {
    width,
    height: HEIGHT,
    tzDate: (seconds) => UPlot.tzDate(new Date(seconds * 1000), "UTC"),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: {
      x: { range: () => rangeOf(props.starts) },
      y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        splits: ({ width: all }) => ticksOf(props.starts, all),
        values: (_, splits) => splits.map((seconds) => whenOf(seconds * 1000, props.granularity)),
      },
      {
        ...axis,
        size: 76,
        grid: { stroke: color("--line"), width: 1 },
        values: (_, splits) => splits.map((value) => inWords(props.measure, value).replace(/ .*$/, "")),
      },
    ],
    series: [
      {},
      ...props.series
        .map((one, index) => ({ fill: color(colorOf(one, index)), width: 0, paths: bars, points: { show: false } }))
        .reverse(),
    ],
    hooks: {
      setCursor: [
        ({ cursor }) => {
          point(cursor.idx ?? null);
        },
      ],
    },
  };
}

/** The starts of as many bars as there is room for. */
function ticksOf(starts: number[], width: number): number[] {
  const every = Math.max(1, Math.ceil((starts.length * TICK_SPACE) / Math.max(1, width)));
  return starts.filter((_, index) => (starts.length - 1 - index) % every === 0).map((start) => start / 1000);
}

/** Half a bar of room on both sides. */
function rangeOf(starts: number[]): [number, number] {
  const first = (starts[0] ?? 0) / 1000;
  const last = (starts.at(-1) ?? 0) / 1000;
  const half = (last - first) / Math.max(1, starts.length - 1) / 2;
  return [first - half, last + half];
}

function useTheme(): string {
  const [theme, setTheme] = useState(() => document.documentElement.dataset["theme"] ?? "");
  useEffect(() => {
    const watch = new MutationObserver(() => {
      setTheme(document.documentElement.dataset["theme"] ?? "");
    });
    watch.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => {
      watch.disconnect();
    };
  }, []);
  return theme;
}
