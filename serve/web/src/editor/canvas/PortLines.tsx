/** The lines of a card: an input with its value, an output, and their marks where they are part of the interface. */
import { memo } from "react";

import { strings } from "@/strings";
import { classes } from "@/ui/classes";

import type { CardPort } from "./graph";
import { type Given, type InputRow, shortValue } from "./card-rows";
import { PortHandle } from "./PortHandle";

const words = strings.editor.canvas;

function Mark({ text, told }: { text: string; told: string }) {
  return (
    <span
      title={told}
      className="shrink-0 rounded-sm border border-accent px-1 text-[9px] leading-3.5 font-bold text-accent uppercase"
    >
      {text}
    </span>
  );
}

export const InputLine = memo(function InputLine({
  node,
  row,
  isMapped,
}: {
  node: string;
  row: InputRow;
  isMapped: boolean;
}) {
  const { port, given } = row;
  const title = port.title;
  const isMissing = port.required && given.by === "nothing";
  return (
    <div className="line relative flex h-6 items-center gap-2 px-2.5 text-sm">
      <PortHandle node={node} port={port.name} title={title} type={port.type} side="input" />
      <span className="max-w-1/2 shrink-0 truncate text-muted" title={port.description}>
        {title}
      </span>
      {isMapped && <span className="shrink-0 text-xs text-faint" title={words.map}>{`×n`}</span>}
      <span className={classes("min-w-0 flex-1 truncate text-right", isMissing ? "text-warn" : "text-fg")}>
        {isMissing ? words.required : <Value given={given} port={port} />}
      </span>
      {given.by === "input" && <Mark text={words.in} told={words.exposedInput(given.name)} />}
    </div>
  );
});

function Value({ given, port }: { given: Given; port: CardPort }) {
  if (given.by === "value") return shortValue(given.value);
  if (given.by === "input") return <span className="text-muted">{given.name === port.name ? "" : given.name}</span>;
  if (given.by !== "nothing") return null;
  const standard = port.declared.default;
  return standard === undefined || standard === null ? null : (
    <span className="text-faint">{shortValue(standard)}</span>
  );
}

export const OutputLine = memo(function OutputLine({
  node,
  port,
  exposed,
}: {
  node: string;
  port: CardPort;
  exposed?: string;
}) {
  const title = port.title;
  return (
    <div className="line relative flex h-6 items-center justify-end gap-2 px-2.5 text-sm">
      <span className="min-w-0 truncate text-muted" title={port.description}>
        {title}
      </span>
      {exposed !== undefined && <Mark text={words.out} told={words.exposedOutput(exposed)} />}
      <PortHandle node={node} port={port.name} title={title} type={port.type} side="output" />
    </div>
  );
});
