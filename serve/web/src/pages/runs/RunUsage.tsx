/** What was booked for a run, posting by posting: the lines that its cost is the sum of. */
import { isLive } from "@/api/runs";
import type { Run, Schemas } from "@/api/types";
import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { Section } from "@/pages/frame/PageFrame";
import { type Column, Table } from "@/ui/table";
import { quantitiesInWords } from "@/pages/usage/units";
import { strings } from "@/strings";
import { money } from "@/ui/quantities";

import { usePostings } from "./queries";

const WORDS = strings.runs;

type Posting = Schemas["UsageEventView"];

const COLUMNS: Column<Posting>[] = [
  {
    key: "what",
    title: WORDS.usageColumns.what,
    className: "sm:whitespace-nowrap",
    cell: ({ model, node }) => (
      <>
        {model}
        {node !== null && <span className="font-mono text-sm text-muted"> {node}</span>}
      </>
    ),
  },
  {
    key: "quantities",
    title: WORDS.usageColumns.quantities,
    className: "w-full text-muted",
    cell: ({ quantities }) => quantitiesInWords(quantities).join(" · "),
  },
  {
    key: "status",
    title: WORDS.usageColumns.status,
    from: "sm",
    className: "whitespace-nowrap",
    cell: ({ corrects, billable, status, reason }) =>
      corrects !== null ? WORDS.correction : billable ? status : `${WORDS.notBilled}${reason ? `: ${reason}` : ""}`,
  },
  {
    key: "list",
    title: WORDS.usageColumns.list,
    isNumber: true,
    from: "sm",
    cell: ({ cost }) => (cost === null ? WORDS.unpriced : money(cost.list)),
  },
  { key: "due", title: WORDS.usageColumns.due, isNumber: true, cell: ({ cost }) => money(cost?.due) },
];

export function RunUsage({ run }: { run: Run }) {
  const postings = usePostings(run);
  if (isLive(run)) return null;
  return (
    <Section title={WORDS.usage} text={WORDS.usageText}>
      <Answered query={postings} waiting={<RowsWaiting rows={2} />}>
        {({ data }) =>
          data.length === 0 ? (
            <p className="text-muted">{WORDS.usageNone}</p>
          ) : (
            <Table label={WORDS.usage} columns={COLUMNS} rows={data} keyOf={({ id }) => id} />
          )
        }
      </Answered>
    </Section>
  );
}
