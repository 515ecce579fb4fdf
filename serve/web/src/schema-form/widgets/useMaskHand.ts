/** A hand on the mask: pointers draw; keys move the brush, press it, and hold it down. */
import type { KeyboardEvent, PointerEvent } from "react";

import type { Point } from "../mask";

interface Hand {
  size: { width: number; height: number } | null;
  cursor: Point | null;
  setCursor: (cursor: Point) => void;
  stroke: Point[];
  setStroke: (points: Point[]) => void;
  finish: (points: Point[]) => void;
  /** Whether keys draw as they move. */
  isDown: boolean;
  setDown: (isDown: boolean) => void;
  onBrush: (factor: number) => void;
  onUndo: () => void;
  onRedo: () => void;
}

const MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export function useMaskHand(hand: Hand) {
  const { size, stroke, setStroke, setCursor, finish } = hand;
  const pointed = (event: PointerEvent<HTMLCanvasElement>): Point => {
    const box = event.currentTarget.getBoundingClientRect();
    const { width, height } = size ?? { width: 1, height: 1 };
    return {
      x: ((event.clientX - box.left) / box.width) * width,
      y: ((event.clientY - box.top) / box.height) * height,
    };
  };
  return {
    onPointerDown: (event: PointerEvent<HTMLCanvasElement>) => {
      event.currentTarget.setPointerCapture(event.pointerId);
      setStroke([pointed(event)]);
    },
    onPointerMove: (event: PointerEvent<HTMLCanvasElement>) => {
      const point = pointed(event);
      setCursor(point);
      if (event.buttons === 1 && stroke.length > 0) setStroke([...stroke, point]);
    },
    onPointerUp: () => {
      finish(stroke);
    },
    onPointerCancel: () => {
      setStroke([]);
    },
    onKeyDown: (event: KeyboardEvent) => {
      if (onKey(hand, event)) event.preventDefault();
    },
  };
}

/** Whether the key meant something here. */
function onKey(hand: Hand, event: KeyboardEvent): boolean {
  const move = MOVES[event.key];
  if (move !== undefined) {
    moved(hand, move, event.shiftKey);
    return true;
  }
  const isCommand = event.ctrlKey || event.metaKey;
  switch (event.key) {
    case " ":
      if (hand.cursor !== null) hand.finish([hand.cursor]);
      return true;
    case "p":
    case "P":
      pressed(hand);
      return true;
    case "[":
      hand.onBrush(0.8);
      return true;
    case "]":
      hand.onBrush(1.25);
      return true;
    case "z":
    case "Z":
      if (isCommand) (event.shiftKey ? hand.onRedo : hand.onUndo)();
      return isCommand;
    case "y":
      if (isCommand) hand.onRedo();
      return isCommand;
    default:
      return false;
  }
}

function pressed({ isDown, setDown, stroke, finish, cursor, setStroke }: Hand): void {
  if (isDown) finish(stroke);
  else if (cursor !== null) setStroke([cursor]);
  setDown(!isDown);
}

function moved(hand: Hand, [x, y]: [number, number], isFar: boolean): void {
  const { size, cursor, setCursor, isDown, stroke, setStroke } = hand;
  if (size === null || cursor === null) return;
  const step = Math.max(1, Math.round(Math.max(size.width, size.height) / (isFar ? 10 : 64)));
  const next = {
    x: Math.min(size.width, Math.max(0, cursor.x + x * step)),
    y: Math.min(size.height, Math.max(0, cursor.y + y * step)),
  };
  setCursor(next);
  if (isDown) setStroke([...stroke, next]);
}
