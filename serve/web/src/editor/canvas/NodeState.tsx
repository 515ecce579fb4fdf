/** What the last run and the next one say of a node, on its card: state, time, cost, progress, preview, what went wrong. */
import type { NodeState as State, NodeStatus } from "@/editor/run/state";
import { useIsStale, useNodeState } from "@/editor/run/state";
import { AssetImage } from "@/media/AssetImage";
import { strings } from "@/strings";
import { classes } from "@/ui/classes";
import { duration, money } from "@/ui/quantities";

import { pictureOf, textOf } from "./results";
import { useCanvasView } from "./view";

const words = strings.editor.canvas;

const TONES: Partial<Record<NodeStatus, string>> = {
  running: "text-info",
  succeeded: "text-ok",
  failed: "text-bad",
  canceled: "text-warn",
};
const MARKS: Partial<Record<NodeStatus, string>> = { failed: "✕ ", canceled: "▲ " };

/** At the right of the title: "1.9 s · $0.002", "step 16 / 25", "cached". */
export function StateMark({ name }: { name: string }) {
  const state = useNodeState(name);
  const isStale = useIsStale(name);
  const told = isStale ? words.status.stale : toldOf(state);
  if (told === "") return null;
  return (
    <span className={classes("shrink-0 text-xs", isStale ? "text-warn" : (TONES[state.status] ?? "text-muted"))}>
      {isStale ? "↻ " : MARKS[state.status]}
      {told}
    </span>
  );
}

function toldOf(state: State): string {
  if (state.status === "running") return runningWords(state);
  if (state.status !== "succeeded") return words.status[state.status];
  const parts = [state.seconds === null ? "" : duration(state.seconds), money(state.cost)];
  return parts.filter((one) => one !== "" && one !== "$0").join(" · ") || words.status.succeeded;
}

function runningWords(state: State): string {
  if (state.numSteps > 0) return words.parts(state.numEnded, state.numSteps);
  if (state.done !== null && state.total) return words.step(state.done, state.total);
  return words.status.running;
}

/** A line under the title that moves with the node's own steps. */
export function StateBar({ name, title }: { name: string; title: string }) {
  const state = useNodeState(name);
  if (state.status !== "running" || state.fraction === null) return null;
  const percent = Math.round(state.fraction * 100);
  return (
    <div
      role="progressbar"
      aria-label={words.progress(title)}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      className="absolute inset-x-0 -bottom-px h-0.5"
    >
      <div className="h-full origin-left bg-info" style={{ transform: `scaleX(${String(state.fraction)})` }} />
    </div>
  );
}

/** What came out, or what is on the way: a picture, or the first lines of a text. */
export function StatePreview({ name, title }: { name: string; title: string }) {
  const state = useNodeState(name);
  if (state.preview !== null)
    return (
      <img
        src={state.preview}
        alt={words.onTheWay(title)}
        draggable={false}
        className="mx-2 mb-2 w-[calc(100%-16px)] rounded-sm"
      />
    );
  const picture = pictureOf(state.outputs);
  if (picture !== null)
    return (
      <div className="mx-2 mb-2 overflow-hidden rounded-sm">
        <AssetImage id={picture.id} width={picture.width} height={picture.height} alt={words.preview(title)} />
      </div>
    );
  const text = state.text || textOf(state.outputs);
  return text === "" ? null : (
    <p className="mx-2.5 mb-2 line-clamp-3 text-sm text-faint" title={text.slice(0, 400)}>
      {text}
    </p>
  );
}

/** What failed while it ran, in the API's own sentence. */
export function StateError({ name }: { name: string }) {
  const { error } = useNodeState(name);
  return error === null ? null : <Trouble node={name} message={error.message} field={error.field} />;
}

export function Trouble({
  node,
  message,
  field,
  isWarning = false,
}: {
  node: string;
  message: string;
  field: string | null;
  isWarning?: boolean;
}) {
  return (
    <div className="mx-2.5 mb-2 flex items-start gap-1.5 text-sm">
      <span aria-hidden className={isWarning ? "text-warn" : "text-bad"}>
        {isWarning ? "▲" : "✕"}
      </span>
      <p className={classes("line-clamp-3 min-w-0 flex-1", isWarning ? "text-warn" : "text-bad")} title={message}>
        {message}
      </p>
      {field !== null && (
        <button
          type="button"
          className="nodrag shrink-0 text-sm font-medium text-fg underline underline-offset-2"
          onClick={() => {
            useCanvasView.getState().set({ wantedField: { node, field }, isInspectorOpen: true });
          }}
        >
          {words.goToField}
        </button>
      )}
    </div>
  );
}
