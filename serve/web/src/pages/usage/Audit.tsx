/** For administrators: whether every process's books add up, and the records that contradict them. */
import type { Schemas } from "@/api/types";
import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { Section } from "@/pages/frame/PageFrame";
import { type Column, Table } from "@/ui/table";
import { strings } from "@/strings";
import { ago, count } from "@/ui/quantities";
import { StateWord } from "@/ui/words";

import { useAudit, useConflicts } from "./queries";

const WORDS = strings.usage;
const VERDICT = WORDS.verdictColumns;
const CONFLICT = WORDS.conflictColumns;

export function Audit() {
  return (
    <div className="grid gap-x-8 gap-y-5 lg:grid-cols-2">
      <Books />
      <Conflicts />
    </div>
  );
}

function Books() {
  const audit = useAudit();
  return (
    <Section title={WORDS.audit} text={WORDS.auditText}>
      <Answered query={audit} waiting={<RowsWaiting rows={1} />}>
        {(found) => (
          <>
            <StateWord tone={found.adds_up ? "ok" : "bad"}>
              {found.adds_up ? WORDS.addsUp(found.sources) : WORDS.differs}
            </StateWord>
            {found.late_witnesses > 0 && <p className="text-muted">{WORDS.late(found.late_witnesses)}</p>}
            {found.data.length > 0 && (
              <Table label={WORDS.audit} columns={VERDICTS} rows={found.data} keyOf={({ source }) => source} />
            )}
          </>
        )}
      </Answered>
    </Section>
  );
}

const VERDICTS: Column<Schemas["VerdictView"]>[] = [
  {
    key: "source",
    title: VERDICT.source,
    cell: ({ source, model }) => (
      <>
        <code className="font-mono text-sm">{source}</code> <span className="text-muted">{model}</span>
      </>
    ),
  },
  { key: "booked", title: VERDICT.booked, isNumber: true, from: "sm", cell: ({ booked }) => count(booked) },
  {
    key: "why",
    title: VERDICT.why,
    cell: ({ differences, explained }) => (
      <ul>
        {differences.map(({ kind, message }) => (
          <li key={kind + message}>{message}</li>
        ))}
        {explained.map((sentence) => (
          <li key={sentence} className="text-muted">
            {sentence}
          </li>
        ))}
      </ul>
    ),
  },
];

function Conflicts() {
  const conflicts = useConflicts();
  return (
    <Section title={WORDS.conflicts} text={WORDS.conflictsText}>
      <Answered query={conflicts} waiting={<RowsWaiting rows={1} />}>
        {({ data }) =>
          data.length === 0 ? (
            <StateWord tone="ok">{WORDS.noConflicts}</StateWord>
          ) : (
            <Table
              label={WORDS.conflicts}
              columns={CONFLICTS}
              rows={data}
              keyOf={({ id, payload_sha256 }) => id + payload_sha256}
            />
          )
        }
      </Answered>
    </Section>
  );
}

const CONFLICTS: Column<Schemas["ConflictView"]>[] = [
  { key: "id", title: CONFLICT.id, cell: ({ id }) => <code className="font-mono text-sm">{id}</code> },
  { key: "reason", title: CONFLICT.reason, cell: ({ reason }) => reason },
  { key: "source", title: CONFLICT.source, from: "sm", cell: ({ source }) => source },
  { key: "received", title: CONFLICT.received, from: "sm", cell: ({ received_at }) => ago(received_at) },
];
