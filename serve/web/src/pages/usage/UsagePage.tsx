/** `/usage`: quantities and cost over time by what they are of, what may still be spent, and whether it adds up. */
import { lazy, Suspense, useMemo } from "react";
import { Link, useLocation, useSearch } from "wouter";

import { Answered } from "@/pages/frame/Answered";
import { Facts, PageFrame } from "@/pages/frame/PageFrame";
import { RequireSession } from "@/shell/RequireSession";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { classes } from "@/ui/classes";
import { count, money } from "@/ui/quantities";
import { EmptyState, Skeleton } from "@/ui/states";
import { Tip } from "@/ui/tooltip";

import { type Asked, askedOf, searchOf } from "./asked";
import { Audit } from "./Audit";
import { BudgetSection, CreditSection } from "./Money";
import { exportOf, type UsageAnswer, useUsage } from "./queries";
import { groupsOf, seriesOf, totalsOf } from "./series";
import { quantitiesInWords } from "./units";
import { UsageFilterBar } from "./UsageFilterBar";
import { GroupTable, TimeTable } from "./UsageTables";

const Chart = lazy(() => import("./UsageChart"));
const WORDS = strings.usage;

export default function UsagePage() {
  return (
    <RequireSession title={WORDS.title} text={WORDS.text} scope="read">
      <Usage />
    </RequireSession>
  );
}

function Usage() {
  const [, navigate] = useLocation();
  const { isAdministrator } = useSession();
  const read = askedOf(useSearch());
  const asked = isAdministrator ? read : { ...read, tenant: null, by: read.by === "tenant" ? "model" : read.by };
  const usage = useUsage(asked);
  const units = [...new Set(usage.data?.rows.flatMap((row) => Object.keys(row.quantities)))];
  const one = asked.tenant === "*" ? null : asked.tenant;
  return (
    <PageFrame
      title={WORDS.title}
      text={WORDS.text}
      actions={usage.data && <Export from={usage.data.from} tenant={asked.tenant} />}
    >
      <UsageFilterBar
        asked={asked}
        units={units}
        onChange={(next) => {
          navigate(`/usage?${searchOf(next)}`, { replace: true });
        }}
      />
      <Answered query={usage} waiting={<Skeleton className="h-80 w-full" />}>
        {(answer) => (
          <div className={classes("flex flex-col gap-5", usage.isPlaceholderData && "opacity-60")}>
            {answer.rows.length === 0 ? <Nothing /> : <Used answer={answer} asked={asked} />}
          </div>
        )}
      </Answered>
      <div className="grid gap-x-8 gap-y-5 lg:grid-cols-2">
        <BudgetSection tenant={one} />
        <CreditSection tenant={one} />
      </div>
      {isAdministrator && <Audit />}
    </PageFrame>
  );
}

function Export({ from, tenant }: { from: string; tenant: string | null }) {
  return (
    <Tip text={WORDS.exportHint}>
      <span className="flex items-center gap-2">
        <span className="text-sm text-muted">{WORDS.export}</span>
        <Button asChild>
          <a href={exportOf(from, tenant, "csv")} download="usage.csv">
            {WORDS.exportCsv}
          </a>
        </Button>
        <Button asChild>
          <a href={exportOf(from, tenant, "cloudevents")} download="usage.ndjson">
            {WORDS.exportEvents}
          </a>
        </Button>
      </span>
    </Tip>
  );
}

function Nothing() {
  return (
    <EmptyState
      title={WORDS.empty}
      text={WORDS.emptyText}
      action={
        <Button asChild>
          <Link href="/models">{WORDS.openModels}</Link>
        </Button>
      }
    />
  );
}

function Used({ answer, asked }: { answer: UsageAnswer; asked: Asked }) {
  const { by, measure } = asked;
  const groups = useMemo(() => groupsOf(answer.rows, by, measure), [answer, by, measure]);
  const series = useMemo(() => seriesOf(groups, measure, answer.starts), [groups, measure, answer]);
  const measures: Record<string, string> = WORDS.measures;
  const label = WORDS.chart(measures[measure] ?? measure.replaceAll("_", " "), WORDS.dimensions[by]);
  return (
    <>
      <Totals answer={answer} />
      <Suspense fallback={<Skeleton className="h-60 w-full" />}>
        <Chart
          label={label}
          series={series}
          starts={answer.starts}
          granularity={answer.granularity}
          measure={measure}
        />
      </Suspense>
      <GroupTable groups={groups} by={by} measure={measure} />
      {!answer.isWhole && <p className="text-warn">{WORDS.truncated}</p>}
      <TimeTable series={series} starts={answer.starts} granularity={answer.granularity} measure={measure} />
    </>
  );
}

function Totals({ answer }: { answer: UsageAnswer }) {
  const totals = useMemo(() => totalsOf(answer.rows), [answer]);
  const dollars = (nano: number) => money({ usd: "", nano_usd: nano });
  const large = (value: number, shown: string) =>
    value === 0 ? null : <strong className="text-lg font-semibold">{shown}</strong>;
  const names = WORDS.totals;
  return (
    <div className="flex flex-col gap-2">
      <Facts
        facts={[
          [
            names.due,
            <strong key="due" className="text-lg font-semibold">
              {dollars(totals.due)}
            </strong>,
          ],
          [
            names.list,
            <strong key="list" className="text-lg font-semibold">
              {dollars(totals.list)}
            </strong>,
          ],
          [
            names.attempts,
            <strong key="calls" className="text-lg font-semibold">
              {count(totals.attempts)}
            </strong>,
          ],
          [names.credit, large(totals.credit, dollars(totals.credit))],
          [names.free, large(totals.free, dollars(totals.free))],
          [names.failed, large(totals.failed, count(totals.failed))],
          [names.unbilled, large(totals.unbilled, count(totals.unbilled))],
          [names.estimated, large(totals.estimated, count(totals.estimated))],
          [names.unpriced, large(totals.unpriced, count(totals.unpriced))],
        ]}
      />
      <p className="text-muted">{quantitiesInWords(totals.quantities).join(" · ")}</p>
    </div>
  );
}
