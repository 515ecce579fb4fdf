/** What was sent to a run's webhook. Nothing is shown of a run without one. */
import type { Run, Schemas } from "@/api/types";
import { Section } from "@/pages/frame/PageFrame";
import { type Column, Table } from "@/ui/table";
import { strings } from "@/strings";
import { ago, clockTime } from "@/ui/quantities";
import { StateWord, type Tone } from "@/ui/words";

import { useDeliveries } from "./queries";

const WORDS = strings.runs;
const TITLES = WORDS.deliveryColumns;

type Delivery = Schemas["DeliveryView"];

const TONES: Record<Delivery["status"], Tone> = { pending: "info", delivered: "ok", failed: "bad", disabled: "warn" };

const COLUMNS: Column<Delivery>[] = [
  { key: "event", title: TITLES.event, cell: ({ event }) => event },
  {
    key: "status",
    title: TITLES.status,
    cell: ({ status }) => <StateWord tone={TONES[status]}>{WORDS.deliveryStatuses[status]}</StateWord>,
  },
  {
    key: "to",
    title: TITLES.to,
    from: "sm",
    className: "w-full max-w-0",
    cell: ({ url }) => <p className="truncate text-muted">{url}</p>,
  },
  { key: "attempt", title: TITLES.attempt, isNumber: true, from: "sm", cell: ({ attempt }) => attempt },
  {
    key: "answer",
    title: TITLES.answer,
    cell: ({ response_status, error }) => [response_status, error].filter((part) => part !== null).join(" "),
  },
  {
    key: "when",
    title: TITLES.when,
    className: "whitespace-nowrap text-muted",
    cell: ({ delivered_at, next_attempt_at, created_at }) =>
      delivered_at === null && next_attempt_at !== null
        ? WORDS.nextTry(clockTime(next_attempt_at))
        : ago(delivered_at ?? created_at),
  },
];

export function Deliveries({ run }: { run: Run }) {
  const { data } = useDeliveries(run);
  if (data === undefined || data.data.length === 0) return null;
  return (
    <Section title={WORDS.deliveries}>
      <Table label={WORDS.deliveries} columns={COLUMNS} rows={data.data} keyOf={({ id }) => id} />
    </Section>
  );
}
