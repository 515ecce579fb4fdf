/** One node: what it is, what it is given, what it gives, how its last run went. Draws itself anew only when its own part of the document or of the run changes. */
import { forPeople } from "@/api/errors";
import { type Node, type NodeProps, useUpdateNodeInternals } from "@xyflow/react";
import { memo, useEffect, useRef } from "react";

import type { NodeSpec, Problem } from "@/api/types";
import { WHEN } from "@/editor/core/types";
import { useNodeState } from "@/editor/run/state";
import { portOf } from "@/editor/store";
import { strings } from "@/strings";
import { classes } from "@/ui/classes";

import { outputsShown, rowsOf } from "./card-rows";
import {
  type CardType,
  useExposedOutputs,
  useLinkedOutputs,
  useNode,
  useNodeProblems,
  usePlace,
  useTypeOf,
  useWrongLinks,
} from "./graph";
import { PlanMark } from "./PlanMark";
import { InputLine, OutputLine } from "./PortLines";
import { StateBar, StateError, StateMark, StatePreview, Trouble } from "./NodeState";
import { PortHandle } from "./PortHandle";
import { useCanvasView } from "./view";
import { WhenLine, WhenPort } from "./WhenPort";

const words = strings.editor.canvas;

export type CardNode = Node<Record<string, never>, "card">;

const SHADES: Record<string, string> = {
  running: "border-info",
  failed: "border-bad",
};

export const NodeCard = memo(
  function NodeCard({ id, selected }: NodeProps<CardNode>) {
    const node = useNode(id);
    const place = usePlace(id);
    const type = useTypeOf(id);
    const status = useNodeState(id).status;
    if (node === undefined) return null;
    const title = place?.title || type?.title || id;
    return (
      <article
        aria-label={words.node(title, node.type)}
        data-status={status}
        className={classes(
          "card rounded-md border bg-raised",
          selected ? "border-accent ring-1 ring-accent" : (SHADES[status] ?? "border-line-strong"),
        )}
      >
        <header className="relative flex h-8 items-center justify-between gap-2 border-b border-line px-2.5">
          <WhenPort name={id} />
          <h3 className="min-w-0 truncate text-sm font-semibold" title={title}>
            {title}
          </h3>
          <span className="flex shrink-0 items-center gap-1.5">
            <StateMark name={id} />
            <PlanMark name={id} isSignOnly={status !== "idle"} />
          </span>
          <StateBar name={id} title={title} />
        </header>
        {place?.collapsed ? <CollapsedPorts name={id} /> : <OpenCard name={id} title={title} />}
      </article>
    );
  },
  (before, after) => before.id === after.id && before.selected === after.selected,
);

function OpenCard({ name, title }: { name: string; title: string }) {
  const ports = useCardPorts(name);
  if (ports === null) return null;
  const { node, outputs, rows, rest, isSpread, type } = ports;
  return (
    <div className="pt-1.5">
      <WhenLine name={name} />
      {outputs.map((port) => (
        <OutputLine key={port.name} node={name} port={port} exposed={ports.exposed[port.name]} />
      ))}
      {rows.map((row) => (
        <InputLine key={row.port.name} node={name} row={row} isMapped={node.map?.includes(row.port.name) ?? false} />
      ))}
      {(rest > 0 || isSpread) && <SpreadButton name={name} rest={rest} isSpread={isSpread} />}
      <div className="h-1.5" />
      {type?.isKnown === false && (
        <p className="mx-2.5 mb-2 font-mono text-xs text-bad">{`${node.type} · ${words.unknownType}`}</p>
      )}
      <StatePreview name={name} title={title} />
      <StateError name={name} />
      <Problems name={name} />
    </div>
  );
}

/** The ports that the card shows; React Flow measures them anew when they change their places. */
function useCardPorts(name: string) {
  const node = useNode(name);
  const type = useTypeOf(name);
  const exposed = useExposedOutputs(name);
  const isSpread = useCanvasView((view) => view.spread.has(name));
  const linked = useLinkedOutputs(name);
  const shown = node && shownPorts(type, node, isSpread, new Set([...linked, ...Object.keys(exposed)]));
  const order = shown ? [...shown.outputs, ...shown.rows.map((row) => row.port)].map((one) => one.name).join() : "";
  const measure = useUpdateNodeInternals();
  const measured = useRef(order);
  useEffect(() => {
    if (measured.current !== order) measure(name);
    measured.current = order;
  }, [order, name, measure]);
  return node && shown ? { node, type, exposed, isSpread, ...shown } : null;
}

function shownPorts(type: CardType | undefined, node: NodeSpec, isSpread: boolean, used: ReadonlySet<string>) {
  const all = type?.ports ?? { inputs: [], outputs: [] };
  const { rows, rest } = rowsOf(all.inputs, node, isSpread);
  const outputs = outputsShown(all.outputs, used, isSpread);
  return { rows, outputs, rest: rest + all.outputs.length - outputs.length };
}

function problemOf(port: string, reason: string): Pick<Problem, "code" | "message" | "field" | "severity"> {
  const field = port === WHEN ? "when" : `inputs.${port}`;
  return { code: "wrong_type", message: words.wrongLink(reason), field, severity: "error" };
}

function SpreadButton({ name, rest, isSpread }: { name: string; rest: number; isSpread: boolean }) {
  const toggle = () => {
    const view = useCanvasView.getState();
    const spread = new Set(view.spread);
    if (!spread.delete(name)) spread.add(name);
    view.set({ spread });
  };
  return (
    <button
      type="button"
      aria-expanded={isSpread}
      className="nodrag px-2.5 text-xs text-faint hover:text-fg"
      onClick={toggle}
    >
      {isSpread ? words.fewerInputs : words.moreInputs(rest)}
    </button>
  );
}

function CollapsedPorts({ name }: { name: string }) {
  const ports = useCardPorts(name);
  return (
    <div className="absolute inset-x-0 top-4 h-0">
      {ports?.rows.map(({ port }) => (
        <PortHandle
          key={port.name}
          node={name}
          port={port.name}
          title={port.title}
          type={port.type}
          side="input"
          isHidden
        />
      ))}
      {ports?.outputs.map((port) => (
        <PortHandle
          key={port.name}
          node={name}
          port={port.name}
          title={port.title}
          type={port.type}
          side="output"
          isHidden
        />
      ))}
    </div>
  );
}

/** What the platform finds wrong; of links at once, before it is asked. */
function Problems({ name }: { name: string }) {
  const problems = useNodeProblems(name);
  const wrong = useWrongLinks(name).map(({ link, reason }) => problemOf(link.target.port, reason));
  const told = new Set(problems.map((one) => portOf(one)));
  return [...wrong.filter((one) => !told.has(portOf(one))), ...problems].map((problem, index) => (
    <Trouble
      key={`${problem.code}:${String(index)}`}
      node={name}
      message={forPeople(problem.message)}
      field={problem.field}
      isWarning={problem.severity === "warning"}
    />
  ));
}
