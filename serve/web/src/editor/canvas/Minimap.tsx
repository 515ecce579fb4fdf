/** The whole workflow in small: seen, and moved in by hand. Painted, not built of elements, so that hundreds of cards cost
 * nothing in a frame of panning; the frame around what is seen moves alone. */
import { Panel, type ReactFlowState, useStoreApi } from "@xyflow/react";
import { useEffect, useRef } from "react";

import { strings } from "@/strings";

import { around, type Box, type Fitted, fitted, seenOf } from "./minimap";

const WIDTH = 148;
const HEIGHT = 92;
/** Between two paintings of the cards while one is dragged. */
const PAUSE_MS = 120;
const STEP = 1.2;

export function Minimap() {
  const store = useStoreApi();
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const painter = useRef<Painter | null>(null);
  useEffect(() => {
    if (canvas.current === null || frame.current === null) return;
    const made = new Painter(store.getState, canvas.current, frame.current);
    painter.current = made;
    const leave = store.subscribe(made.changed);
    // The colours are the theme's.
    const watching = new MutationObserver(made.anew);
    watching.observe(document.documentElement, { attributes: true });
    return () => {
      leave();
      watching.disconnect();
      made.end();
    };
  }, [store]);
  const go = (event: React.PointerEvent<HTMLElement>) => {
    const { panZoom, width, height, transform } = store.getState();
    const to = painter.current?.placeAt(event.clientX, event.clientY);
    if (!panZoom || !to) return;
    const zoom = transform[2];
    void panZoom.setViewport({ x: width / 2 - to.x * zoom, y: height / 2 - to.y * zoom, zoom });
  };
  return (
    <Panel position="bottom-right" className="max-md:hidden">
      <div
        role="img"
        aria-label={strings.editor.canvas.acts.minimap}
        className="relative cursor-pointer touch-none overflow-hidden rounded-md border border-line bg-surface"
        style={{ width: WIDTH, height: HEIGHT }}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          go(event);
        }}
        onPointerMove={(event) => {
          if (event.currentTarget.hasPointerCapture(event.pointerId)) go(event);
        }}
        onWheel={({ deltaY }) => {
          const { panZoom } = store.getState();
          void panZoom?.scaleBy(deltaY < 0 ? STEP : 1 / STEP);
        }}
      >
        <canvas ref={canvas} width={WIDTH * 2} height={HEIGHT * 2} className="h-full w-full" />
        <div ref={frame} className="absolute top-0 left-0 border border-accent bg-accent/10" />
      </div>
    </Panel>
  );
}

/** Paints once in a frame at most, and the cards only when they have changed. */
class Painter {
  private nodes: ReactFlowState["nodes"] | null = null;
  private bounds: Box | null = null;
  private colors: ReturnType<typeof colorsOf> | null = null;
  private fit: Fitted = { x: 0, y: 0, scale: 1 };
  private wanted = 0;
  private paintedAt = -Infinity;
  private later: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly state: () => ReactFlowState,
    private readonly canvas: HTMLCanvasElement,
    private readonly frame: HTMLElement,
  ) {
    this.changed();
  }

  readonly changed = () => {
    this.wanted ||= requestAnimationFrame(this.paint);
  };

  readonly anew = () => {
    this.nodes = null;
    this.colors = null;
    this.changed();
  };

  end(): void {
    cancelAnimationFrame(this.wanted);
    clearTimeout(this.later);
  }

  /** On the canvas, the place under a point of the window. */
  placeAt(x: number, y: number): { x: number; y: number } {
    const { left, top } = this.canvas.getBoundingClientRect();
    return { x: this.fit.x + (x - left) / this.fit.scale, y: this.fit.y + (y - top) / this.fit.scale };
  }

  private readonly paint = (now: number) => {
    this.wanted = 0;
    const { nodes, transform, width, height } = this.state();
    const seen = seenOf(transform, width, height);
    const isDue = nodes !== this.nodes && now - this.paintedAt >= PAUSE_MS;
    if (nodes !== this.nodes && !isDue) {
      clearTimeout(this.later);
      this.later = setTimeout(this.changed, PAUSE_MS);
    }
    if (isDue) this.bounds = around(this.boxes());
    const fit = fitted(around(this.bounds ? [this.bounds, seen] : [seen]) ?? seen, WIDTH, HEIGHT);
    const isMoved = fit.x !== this.fit.x || fit.y !== this.fit.y || fit.scale !== this.fit.scale;
    this.fit = fit;
    if (isDue || isMoved) this.paintCards(now);
    this.paintFrame(seen);
  };

  private *boxes(): Generator<Box> {
    for (const { internals, measured } of this.state().nodeLookup.values())
      yield { ...internals.positionAbsolute, width: measured.width ?? 0, height: measured.height ?? 0 };
  }

  private paintCards(now: number): void {
    const context = this.canvas.getContext("2d");
    if (context === null) return;
    const { nodes, nodeLookup } = this.state();
    const { x: left, y: top, scale } = this.fit;
    this.colors ??= colorsOf(this.canvas);
    const { plain, chosen, note } = this.colors;
    context.setTransform(2, 0, 0, 2, 0, 0);
    context.clearRect(0, 0, WIDTH, HEIGHT);
    for (const { type, selected, internals, measured } of nodeLookup.values()) {
      const { x, y } = internals.positionAbsolute;
      context.fillStyle = selected ? chosen : type === "note" ? note : plain;
      const [width, height] = [(measured.width ?? 0) * scale, (measured.height ?? 0) * scale];
      context.fillRect((x - left) * scale, (y - top) * scale, Math.max(1, width), Math.max(1, height));
    }
    this.nodes = nodes;
    this.paintedAt = now;
  }

  private paintFrame(seen: Box): void {
    const { x, y, scale } = this.fit;
    const { style } = this.frame;
    style.transform = `translate(${String((seen.x - x) * scale)}px, ${String((seen.y - y) * scale)}px)`;
    style.width = `${String(seen.width * scale)}px`;
    style.height = `${String(seen.height * scale)}px`;
  }
}

/** Asked for once: each asking makes the browser reckon all styles. */
function colorsOf(element: Element) {
  const styles = getComputedStyle(element);
  const color = (name: string) => styles.getPropertyValue(name);
  return { plain: color("--line-strong"), chosen: color("--accent"), note: color("--line") };
}
