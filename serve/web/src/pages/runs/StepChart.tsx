/** The steps of a workflow's run in time: a bar each, in the order in which they began. */
import { useState } from "react";

import { isLive } from "@/api/runs";
import type { Run } from "@/api/types";
import { Answered } from "@/pages/frame/Answered";
import { Section } from "@/pages/frame/PageFrame";
import { useNow } from "@/pages/frame/now";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { classes } from "@/ui/classes";
import { duration } from "@/ui/quantities";
import { StateWord } from "@/ui/words";

import { toneOf } from "./facts";
import { type Bar, barsOf } from "./gantt";
import { useSteps } from "./queries";

const WORDS = strings.runs;
const FIRST = 40;

const FILLS = { ok: "bg-ok", info: "bg-info", warn: "bg-warn", bad: "bg-bad", plain: "bg-line-strong" };

export function StepChart({ run }: { run: Run }) {
  const steps = useSteps(run);
  const now = useNow(isLive(run));
  const [isWhole, setWhole] = useState(false);
  return (
    <Section title={WORDS.steps} text={WORDS.stepsText}>
      <Answered query={steps}>
        {(found) => {
          const bars = barsOf(found, now);
          const shown = isWhole ? bars : bars.slice(0, FIRST);
          return (
            <>
              <ol className="flex flex-col">
                {shown.map((bar) => (
                  <Row key={bar.label} bar={bar} />
                ))}
              </ol>
              {shown.length < bars.length && (
                <div>
                  <Button
                    onClick={() => {
                      setWhole(true);
                    }}
                  >
                    {WORDS.moreSteps} ({bars.length})
                  </Button>
                </div>
              )}
            </>
          );
        }}
      </Answered>
    </Section>
  );
}

function Row({ bar }: { bar: Bar }) {
  const tone = toneOf(bar.status);
  const status = WORDS.statuses[bar.status];
  const told =
    bar.at === null
      ? WORDS.stepNotRun(bar.label, status)
      : WORDS.step(bar.label, status, duration(bar.at.afterSeconds), duration(bar.at.seconds));
  return (
    <li className="grid grid-cols-[minmax(80px,1fr)_92px] items-center gap-x-3 gap-y-1 border-b border-line py-1.5 sm:grid-cols-[180px_92px_minmax(0,1fr)_64px]">
      <span className="truncate font-mono text-sm" title={bar.label}>
        {bar.label}
      </span>
      <StateWord tone={tone}>{status}</StateWord>
      <span className="relative h-2.5 max-sm:col-span-2" title={told}>
        {bar.at === null ? (
          bar.reason !== null && <span className="block truncate text-sm leading-none text-faint">{bar.reason}</span>
        ) : (
          <span
            className={classes("absolute inset-y-0 min-w-[2px] rounded-full", FILLS[tone])}
            style={{ left: percent(bar.at.left), width: percent(bar.at.width) }}
          />
        )}
      </span>
      <span className="text-right text-sm text-muted max-sm:hidden">
        {bar.at === null ? "" : duration(bar.at.seconds)}
      </span>
    </li>
  );
}

function percent(part: number): string {
  return `${(part * 100).toFixed(2)}%`;
}
