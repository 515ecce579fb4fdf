/** Colours and letters, as the theme of now has them. */
import type { ReactNode } from "react";

import { strings } from "@/strings";
import { PortGlyph, type PortKind } from "@/ui/port-glyph";
import { StateWord, type Tone } from "@/ui/words";

const words = strings.design;
const GROUNDS = ["bg", "surface", "raised", "line", "line-strong", "accent", "accent-hover", "accent-soft"];
const TEXTS = ["fg", "fg-muted", "fg-faint", "accent", "ok", "warn", "bad", "info"];
const TONES: Tone[] = ["ok", "info", "warn", "bad", "plain"];
const PORTS: PortKind[] = [
  "text",
  "number",
  "boolean",
  "image",
  "mask",
  "audio",
  "video",
  "json",
  "embedding",
  "adapter",
  "model",
];
const SIZES: [string, string][] = [
  ["text-2xl font-semibold", "28/36"],
  ["text-xl font-bold", "20/28"],
  ["text-lg font-semibold", "15/20"],
  ["text-md", "13/20"],
  ["text-sm text-muted", "12/16"],
  ["text-xs text-faint", "11/16"],
  ["font-mono text-sm", "mono 12/16"],
];

export function Colors() {
  return (
    <div className="grid gap-6 sm:grid-cols-2 lg:grid-cols-4">
      <List title={words.grounds}>
        {GROUNDS.map((name) => (
          <li key={name} className="flex items-center gap-2.5 py-1">
            <span
              aria-hidden
              className="size-5 rounded-sm border border-line-strong"
              style={{ background: `var(--${name})` }}
            />
            <code className="font-mono text-sm text-muted">{name}</code>
          </li>
        ))}
      </List>
      <List title={words.texts}>
        {TEXTS.map((name) => (
          <li key={name} className="py-1" style={{ color: `var(--${name})` }}>
            {name}
          </li>
        ))}
      </List>
      <List title={words.states}>
        {TONES.map((tone) => (
          <li key={tone} className="py-1">
            <StateWord tone={tone}>{tone}</StateWord>
          </li>
        ))}
      </List>
      <List title={words.ports}>
        {PORTS.map((port) => (
          <li key={port} className="flex items-center gap-2.5 py-0.5">
            <PortGlyph type={port} />
            {port}
          </li>
        ))}
      </List>
    </div>
  );
}

function List({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div>
      <h3 className="pb-1 text-sm font-medium text-faint">{title}</h3>
      <ul>{children}</ul>
    </div>
  );
}

export function Letters() {
  return (
    <ul className="flex flex-col gap-2">
      {SIZES.map(([look, told]) => (
        <li key={look} className="flex items-baseline gap-4">
          <code className="w-24 shrink-0 font-mono text-xs text-faint">{told}</code>
          <span className={look}>{words.sample}</span>
        </li>
      ))}
    </ul>
  );
}
