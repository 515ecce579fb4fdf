/** The columns of the operator's tables. */
import type { Column } from "@/ui/table";
import { strings } from "@/strings";
import { ago, count, duration, moment } from "@/ui/quantities";
import { StateWord, type Tone } from "@/ui/words";

import type { Decision, Pool, Queue, Served } from "./state";

const WORDS = strings.platform;

const TONES: Record<Served["state"], Tone> = { ready: "ok", loading: "info", at_zero: "plain", failed: "bad" };

export function applicationColumns(queues: Queue[] | undefined): Column<Served>[] {
  const queueOf = (name: string) => queues?.find(({ model }) => model === name);
  return [
    {
      key: "name",
      title: WORDS.columns.name,
      className: "w-full font-medium",
      cell: ({ name, message }) => (
        <>
          {name}
          {message !== "" && <p className="text-sm font-normal text-muted">{message}</p>}
        </>
      ),
    },
    {
      key: "state",
      title: WORDS.columns.state,
      cell: ({ state }) => <StateWord tone={TONES[state]}>{WORDS.states[state]}</StateWord>,
    },
    {
      key: "replicas",
      title: WORDS.columns.replicas,
      isNumber: true,
      className: "whitespace-nowrap",
      cell: ({ replicas }) => WORDS.ratio(replicas.ready, replicas.desired),
    },
    {
      key: "range",
      title: WORDS.columns.range,
      isNumber: true,
      from: "sm",
      className: "whitespace-nowrap text-muted",
      cell: ({ scaling }) => WORDS.range(scaling.min_replicas, scaling.max_replicas),
    },
    {
      key: "queue",
      title: WORDS.columns.queue,
      from: "md",
      className: "whitespace-nowrap text-muted",
      cell: ({ name }) => {
        const queue = queueOf(name);
        return queue && WORDS.queue(queue.waiting, queue.running);
      },
    },
    {
      key: "pool",
      title: WORDS.columns.pool,
      from: "md",
      className: "whitespace-nowrap text-muted",
      cell: ({ placement }) => WORDS.poolOf(placement.pool, placement.gpus),
    },
    {
      key: "cold",
      title: WORDS.columns.cold,
      isNumber: true,
      from: "sm",
      className: "whitespace-nowrap",
      cell: ({ cold_start_seconds }) =>
        cold_start_seconds === null ? (
          <span className="text-faint">{WORDS.notMeasured}</span>
        ) : (
          duration(cold_start_seconds)
        ),
    },
    {
      key: "managed",
      title: WORDS.columns.managed,
      from: "lg",
      className: "text-muted",
      cell: (one) => one.managed_by,
    },
  ];
}

export const QUEUES: Column<Queue>[] = [
  {
    key: "of",
    title: WORDS.queueColumns.of,
    className: "w-full font-medium",
    cell: ({ model }) => model ?? WORDS.workflows,
  },
  { key: "waiting", title: WORDS.queueColumns.waiting, isNumber: true, cell: ({ waiting }) => count(waiting) },
  { key: "running", title: WORDS.queueColumns.running, isNumber: true, cell: ({ running }) => count(running) },
  {
    key: "oldest",
    title: WORDS.queueColumns.oldest,
    isNumber: true,
    className: "whitespace-nowrap",
    cell: ({ oldest_waiting_at }) => oldest_waiting_at !== null && <Waited since={oldest_waiting_at} />,
  },
];

/** Read anew with each answer, which comes every few seconds. */
function Waited({ since }: { since: string }) {
  return <time dateTime={since}>{ago(since)}</time>;
}

export const POOLS: Column<Pool>[] = [
  { key: "name", title: WORDS.poolColumns.name, className: "w-full font-medium", cell: ({ name }) => name },
  { key: "models", title: WORDS.poolColumns.models, isNumber: true, cell: ({ models }) => count(models) },
  {
    key: "replicas",
    title: WORDS.poolColumns.replicas,
    isNumber: true,
    className: "whitespace-nowrap",
    cell: ({ ready, desired }) => WORDS.ratio(ready, desired),
  },
  { key: "cpus", title: WORDS.poolColumns.cpus, isNumber: true, cell: ({ cpus }) => count(cpus) },
  { key: "gpus", title: WORDS.poolColumns.gpus, isNumber: true, cell: ({ gpus }) => count(gpus) },
];

export const DECISIONS: Column<Decision>[] = [
  {
    key: "when",
    title: WORDS.decisionColumns.when,
    className: "whitespace-nowrap text-muted",
    cell: ({ at }) => (
      <time dateTime={at} title={moment(at)}>
        {ago(at)}
      </time>
    ),
  },
  {
    key: "model",
    title: WORDS.decisionColumns.model,
    className: "font-medium sm:whitespace-nowrap",
    cell: ({ model }) => model,
  },
  {
    key: "change",
    title: WORDS.decisionColumns.change,
    className: "whitespace-nowrap",
    cell: ({ before, after }) => WORDS.change(before, after),
  },
  { key: "reason", title: WORDS.decisionColumns.reason, className: "w-full text-muted", cell: ({ reason }) => reason },
];
