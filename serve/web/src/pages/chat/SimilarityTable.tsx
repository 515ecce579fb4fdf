/** How alike each text is to each other: numbers, with the ground behind them the stronger the more alike. */
import { useMemo } from "react";

import { strings } from "@/strings";
import { CopyButton } from "@/ui/code";
import { count, duration, money } from "@/ui/quantities";

import { matrixOf } from "./similarity";
import type { Embedded } from "./useEmbedding";

/** Per cent of colour under a number; not so much that the number is hard to read. */
const STRONGEST = 45;

export function SimilarityTable({ embedded }: { embedded: Embedded }) {
  const { texts, vectors } = embedded;
  const matrix = useMemo(() => matrixOf(vectors), [vectors]);
  return (
    <div className="flex flex-col gap-3">
      <Facts embedded={embedded} />
      <div className="overflow-x-auto rounded-md border border-line bg-surface">
        <table className="w-full border-collapse text-sm">
          <caption className="border-b border-line px-3 py-2 text-left text-muted">
            {strings.chat.embedding.matrix}
          </caption>
          <thead>
            <tr>
              <th scope="col" colSpan={2} className="px-3 py-1.5 text-left font-medium text-muted">
                {strings.chat.embedding.text}
              </th>
              {texts.map((text, index) => (
                <th key={index} scope="col" className="min-w-12 px-1 py-1.5 font-medium text-muted">
                  <span className="sr-only">{text}</span>
                  <span aria-hidden>{index + 1}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {matrix.map((row, index) => (
              <tr key={index} className="border-t border-line">
                <td className="w-6 py-1.5 pl-3 text-faint">{index + 1}</td>
                <th scope="row" className="min-w-32 px-3 py-1.5 text-left font-normal">
                  {texts[index]}
                </th>
                {row.map((value, column) => (
                  <td key={column} className="px-1 py-1.5 text-center" style={{ background: shadeOf(value) }}>
                    {value.toFixed(2)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function Facts({ embedded: { texts, vectors, tokens, cost, seconds } }: { embedded: Embedded }) {
  const says = strings.chat.embedding;
  return (
    <p className="flex flex-wrap items-center gap-x-3 gap-y-1 text-muted">
      <span>{says.facts(texts.length, vectors[0]?.length ?? 0)}</span>
      <span>{says.used(count(tokens))}</span>
      {cost !== null && <span>{money(cost)}</span>}
      <span>{says.took(duration(seconds))}</span>
      <CopyButton text={JSON.stringify(vectors)} label={says.copyVectors} />
    </p>
  );
}

/** Nothing for what is unlike, and for what points the other way. */
function shadeOf(value: number): string {
  const percent = Math.round(Math.max(0, Math.min(1, value)) * STRONGEST);
  return `color-mix(in oklab, var(--p-embedding) ${String(percent)}%, transparent)`;
}
