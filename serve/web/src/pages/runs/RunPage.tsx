/** `/runs/:id`: one run, followed while it goes on: what went in, what came out, how long it took, what it cost. */
import { Link, useParams } from "wouter";

import { asApiError } from "@/api/errors";
import { useOneRun } from "@/api/queries";
import { isLive, tookSeconds } from "@/api/runs";
import type { Run } from "@/api/types";
import { Answered } from "@/pages/frame/Answered";
import { Facts, PageFrame, Section } from "@/pages/frame/PageFrame";
import { RequireSession } from "@/shell/RequireSession";
import { usePageTitle } from "@/shell/usePageTitle";
import { useNow } from "@/pages/frame/now";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { CodeBlock } from "@/ui/code";
import { ago, duration, moment, money } from "@/ui/quantities";
import { EmptyState, Skeleton } from "@/ui/states";
import { StateWord } from "@/ui/words";

import { Deliveries } from "./Deliveries";
import { nameOf, toneOf, waitedSeconds } from "./facts";
import { RunActs } from "./RunActs";
import { RunUsage } from "./RunUsage";
import { RunInput, RunOutput } from "./RunValues";
import { StepChart } from "./StepChart";

const WORDS = strings.runs;

export default function RunPage() {
  return (
    <RequireSession title={WORDS.title} scope="read">
      <Followed />
    </RequireSession>
  );
}

function Followed() {
  const { id = "" } = useParams<{ id: string }>();
  const run = useOneRun(id);
  if (run.error !== null && asApiError(run.error).status === 404) return <NoRun />;
  return (
    <Answered query={run} waiting={<Waiting />}>
      {(found) => <RunView run={found} />}
    </Answered>
  );
}

function NoRun() {
  return (
    <EmptyState
      heading="h1"
      title={WORDS.noRun}
      text={WORDS.noRunText}
      action={
        <Button asChild>
          <Link href="/runs">{WORDS.every}</Link>
        </Button>
      }
    />
  );
}

function Waiting() {
  return (
    <div className="mx-auto flex max-w-[1200px] flex-col gap-4 px-6 py-5">
      <Skeleton className="h-7 w-64" />
      <Skeleton className="h-12 w-full" />
      <Skeleton className="h-64 w-full" />
    </div>
  );
}

function RunView({ run }: { run: Run }) {
  usePageTitle(WORDS.of(nameOf(run)));
  return (
    <PageFrame
      title={WORDS.of(nameOf(run))}
      text={<code className="font-mono text-sm text-faint">{run.id}</code>}
      actions={<RunActs run={run} />}
    >
      <RunFacts run={run} />
      {run.error !== null && <Failure error={run.error} />}
      <div className="grid gap-x-8 gap-y-5 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
        <Section title={WORDS.output}>
          <RunOutput run={run} />
        </Section>
        <Section title={WORDS.input}>
          <RunInput run={run} />
        </Section>
      </div>
      {run.kind === "workflow" && <StepChart run={run} />}
      <RunUsage run={run} />
      <Deliveries run={run} />
      <details className="border-t border-line pt-4">
        <summary className="cursor-pointer text-lg font-semibold">{WORDS.raw}</summary>
        <div className="pt-3">
          <CodeBlock code={JSON.stringify(run, null, 2)} label={WORDS.raw} />
        </div>
      </details>
    </PageFrame>
  );
}

function RunFacts({ run }: { run: Run }) {
  const now = useNow(isLive(run));
  const took = tookSeconds(run, now);
  return (
    <div aria-live="polite">
      <Facts
        facts={[
          [
            WORDS.facts.status,
            <StateWord key="status" tone={toneOf(run.status)}>
              {WORDS.statuses[run.status]}
            </StateWord>,
          ],
          [WORDS.facts.created, <When key="created" at={run.created_at} />],
          [WORDS.facts.waited, duration(waitedSeconds(run, now))],
          [WORDS.facts.took, took === null ? null : duration(took)],
          [WORDS.facts.cost, run.cost === null ? (isLive(run) ? null : WORDS.unpriced) : money(run.cost)],
          [WORDS.facts.task, run.task?.replaceAll("_", " ")],
          [WORDS.facts.attempt, run.attempt > 1 ? String(run.attempt) : null],
        ]}
      />
    </div>
  );
}

function When({ at }: { at: string }) {
  return (
    <time dateTime={at} title={moment(at)}>
      {ago(at)}
    </time>
  );
}

function Failure({ error }: { error: NonNullable<Run["error"]> }) {
  return (
    <div role="alert" className="rounded-md border border-bad px-3 py-2.5">
      <h2 className="font-semibold text-bad">{WORDS.error}</h2>
      <p>{error.message}</p>
      <p className="text-sm text-muted">
        <code className="font-mono">{error.code}</code>
        {error.param !== null && ` · ${WORDS.errorField(error.param)}`}
      </p>
    </div>
  );
}
