/** Painting a mask over a picture, by hand or by keys. The mask is as large as the picture, white where it is painted. */
import { useEffect, useReducer, useRef, useState } from "react";

import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { toast } from "@/ui/toast";

import {
  asBlackAndWhite,
  coverOfLight,
  done,
  drawMask,
  type MaskAct,
  type MaskHistory,
  type Point,
  redone,
  undone,
  UNTOUCHED,
} from "../mask";
import { MaskTools } from "./MaskTools";
import { useMaskHand } from "./useMaskHand";

interface MaskEditorProps {
  picture: string;
  /** The mask there is. */
  mask: string | null;
  onClose: () => void;
  onMask: (mask: Blob) => void;
}

type Change = { act: MaskAct } | { go: "undo" | "redo" };

function changed(history: MaskHistory, change: Change): MaskHistory {
  if ("act" in change) return done(history, change.act);
  return change.go === "undo" ? undone(history) : redone(history);
}

export function MaskEditor({ picture, mask, onClose, onMask }: MaskEditorProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState<{ width: number; height: number } | null>(null);
  const [start, setStart] = useState<HTMLCanvasElement | null>(null);
  const [history, change] = useReducer(changed, UNTOUCHED);
  const [erases, setErases] = useState(false);
  const [brush, setBrush] = useState(0);
  const [cursor, setCursor] = useState<Point | null>(null);
  const [isDown, setDown] = useState(false);
  const [stroke, setStroke] = useState<Point[]>([]);
  const words = strings.forms;
  const brushSize = brush || Math.max(8, Math.round(Math.min(size?.width ?? 0, size?.height ?? 0) / 10));

  useEffect(() => {
    if (mask === null) return;
    const image = new Image();
    image.onload = () => {
      setStart(coverOf(image));
    };
    image.src = mask;
  }, [mask]);

  useEffect(() => {
    const on = canvas.current?.getContext("2d");
    if (!on || size === null) return;
    const current: MaskAct[] = stroke.length > 0 ? [{ kind: "stroke", erases, size: brushSize, points: stroke }] : [];
    drawMask(on, size, [...history.past, ...current], start, getComputedStyle(on.canvas).color);
  }, [history, stroke, size, start, erases, brushSize]);

  const finish = (points: Point[]) => {
    if (points.length > 0) change({ act: { kind: "stroke", erases, size: brushSize, points } });
    setStroke([]);
  };
  const hand = useMaskHand({
    size,
    cursor,
    setCursor,
    stroke,
    setStroke,
    finish,
    isDown,
    setDown,
    onBrush: (factor) => {
      setBrush(Math.max(1, Math.round(brushSize * factor)));
    },
    onUndo: () => {
      change({ go: "undo" });
    },
    onRedo: () => {
      change({ go: "redo" });
    },
  });

  return (
    <Dialog
      open
      onClose={onClose}
      title={words.maskTitle}
      className="max-w-[min(96vw,860px)]!"
      footer={
        <>
          <Button onClick={onClose}>{strings.shell.cancel}</Button>
          <Button
            kind="primary"
            disabled={size === null}
            onClick={() => {
              if (canvas.current === null || size === null) return;
              maskIn(canvas.current, size).then(onMask, () => {
                toast(words.maskFailed, "bad");
              });
            }}
          >
            {words.useMask}
          </Button>
        </>
      }
    >
      <MaskTools
        erases={erases}
        onErases={setErases}
        brush={brushSize}
        maxBrush={Math.max(size?.width ?? 64, 64)}
        onBrush={setBrush}
        canUndo={history.past.length > 0}
        canRedo={history.future.length > 0}
        onUndo={() => {
          change({ go: "undo" });
        }}
        onRedo={() => {
          change({ go: "redo" });
        }}
        onAct={(act) => {
          change({ act });
        }}
      />
      <div className="relative mx-auto my-3 max-w-full overflow-hidden rounded-sm bg-bg" style={frameOf(size)}>
        <img
          src={picture}
          alt=""
          draggable={false}
          className="absolute inset-0 size-full"
          onLoad={(event) => {
            const { naturalWidth: width, naturalHeight: height } = event.currentTarget;
            setSize({ width, height });
            setCursor({ x: width / 2, y: height / 2 });
          }}
          onError={() => {
            toast(strings.playground.pictureGone, "bad");
            onClose();
          }}
        />
        {/* A drawing surface that keys move a brush over is what `application` is for. */}
        <canvas
          ref={canvas}
          width={size?.width ?? 1}
          height={size?.height ?? 1}
          // eslint-disable-next-line jsx-a11y/no-interactive-element-to-noninteractive-role
          role="application"
          aria-label={words.maskCanvas}
          tabIndex={0}
          {...hand}
          className="absolute inset-0 size-full cursor-crosshair touch-none text-accent opacity-60"
        />
        {cursor !== null && size !== null && (
          <div
            aria-hidden
            className="pointer-events-none absolute -translate-1/2 rounded-full border border-fg outline outline-bg"
            style={{
              left: `${String((cursor.x / size.width) * 100)}%`,
              top: `${String((cursor.y / size.height) * 100)}%`,
              width: `${String((brushSize / size.width) * 100)}%`,
              height: `${String((brushSize / size.height) * 100)}%`,
            }}
          />
        )}
      </div>
      <p className="text-sm text-faint">{words.maskHint}</p>
    </Dialog>
  );
}

/** As wide as there is room, in the picture's proportions, and never taller than the window allows. */
function frameOf(size: { width: number; height: number } | null) {
  if (size === null) return { width: "100%", aspectRatio: "1" };
  const ratio = size.width / size.height;
  return { aspectRatio: String(ratio), width: `min(100%, ${String(Math.round(52 * ratio))}dvh)` };
}

function contextOf({ width, height }: { width: number; height: number }): CanvasRenderingContext2D | null {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d");
}

/** A black and white mask as the editor draws masks. */
function coverOf(image: HTMLImageElement): HTMLCanvasElement | null {
  const size = { width: image.naturalWidth, height: image.naturalHeight };
  const on = contextOf(size);
  if (on === null) return null;
  on.drawImage(image, 0, 0);
  const read = on.getImageData(0, 0, size.width, size.height);
  coverOfLight(read.data);
  on.putImageData(read, 0, 0);
  return on.canvas;
}

/** What was drawn, as the file that the API takes. */
function maskIn(drawn: HTMLCanvasElement, size: { width: number; height: number }): Promise<Blob> {
  return new Promise((resolve, reject) => {
    const on = contextOf(size);
    if (on === null) throw new Error("The browser draws nothing.");
    on.drawImage(drawn, 0, 0);
    asBlackAndWhite(on, size);
    on.canvas.toBlob((blob) => {
      if (blob === null) reject(new Error("The browser made no file of the mask."));
      else resolve(blob);
    }, "image/png");
  });
}
