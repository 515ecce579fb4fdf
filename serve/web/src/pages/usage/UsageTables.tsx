/** The numbers of the chart: by group, which is its legend, too, and over time. */
import { type Column, Table } from "@/ui/table";
import { strings } from "@/strings";
import { count } from "@/ui/quantities";

import { type Dimension, type Granularity, whenOf } from "./asked";
import { colorOf } from "./colors";
import { type Group, inWords, LARGEST, type Series, totalsOf } from "./series";
import { quantitiesInWords } from "./units";
import { useTitles } from "./useTitles";

const WORDS = strings.usage;

interface GroupTableProps {
  groups: Group[];
  by: Dimension;
  measure: string;
}

export function GroupTable({ groups, by, measure }: GroupTableProps) {
  const titleOf = useTitles(by);
  const all = groups.reduce((sum, group) => sum + group.total, 0);
  const columns: Column<Group>[] = [
    {
      key: "name",
      title: WORDS.columns[by],
      className: "sm:whitespace-nowrap",
      order: (group) => group.name,
      cell: (group) => <Name group={group} title={titleOf(group.name)} place={groups.indexOf(group)} />,
    },
    {
      key: "total",
      title: WORDS.total,
      isNumber: true,
      className: "whitespace-nowrap font-medium",
      order: (group) => group.total,
      cell: (group) => inWords(measure, group.total),
    },
    {
      key: "share",
      title: WORDS.share,
      isNumber: true,
      from: "sm",
      cell: (group) => (all === 0 ? "" : `${String(Math.round((group.total / all) * 100))} %`),
    },
    {
      key: "calls",
      title: WORDS.calls,
      isNumber: true,
      from: "sm",
      order: (group) => totalsOf(group.rows).attempts,
      cell: (group) => count(totalsOf(group.rows).attempts),
    },
    {
      key: "quantities",
      title: WORDS.quantities,
      from: "md",
      className: "w-full pl-6 text-muted",
      cell: (group) => quantitiesInWords(totalsOf(group.rows).quantities).join(" · "),
    },
  ];
  return <Table label={WORDS.title} columns={columns} rows={groups} keyOf={({ name }) => name} />;
}

function Name({ group, title, place }: { group: Group; title: string | null; place: number }) {
  const color = `var(${colorOf(place < LARGEST ? group : { name: null }, place)})`;
  return (
    <span className="flex min-w-32 items-center gap-2 font-medium">
      <span aria-hidden className="size-2.5 shrink-0 rounded-sm" style={{ background: color }} />
      {title}
      {title !== null && <code className="font-mono text-sm font-normal text-muted">{group.name}</code>}
      {title === null && (group.name || <span className="font-normal text-muted">{WORDS.nothing}</span>)}
    </span>
  );
}

interface TimeTableProps {
  series: Series[];
  starts: number[];
  granularity: Granularity;
  measure: string;
}

export function TimeTable({ series, starts, granularity, measure }: TimeTableProps) {
  const rows = starts.map((start, index) => ({ start, index })).reverse();
  const value = (index: number, values: number[]) => inWords(measure, values[index] ?? 0);
  const sum = (index: number) => series.reduce((total, { values }) => total + (values[index] ?? 0), 0);
  const columns: Column<{ start: number; index: number }>[] = [
    {
      key: "when",
      title: WORDS.when,
      className: "whitespace-nowrap",
      order: ({ start }) => start,
      cell: ({ start }) => whenOf(start, granularity),
    },
    ...series.map(({ name, values }, place) => ({
      key: String(place),
      title: name === null ? WORDS.others(series.length - LARGEST) : name || WORDS.nothing,
      isNumber: true,
      className: "whitespace-nowrap",
      order: ({ index }: { index: number }) => values[index] ?? 0,
      cell: ({ index }: { index: number }) => value(index, values),
    })),
    {
      key: "total",
      title: WORDS.total,
      isNumber: true,
      order: ({ index }) => sum(index),
      cell: ({ index }) => inWords(measure, sum(index)),
    },
  ];
  return (
    <details>
      <summary className="cursor-pointer text-muted hover:text-fg">{WORDS.overTime}</summary>
      <Table label={WORDS.overTime} columns={columns} rows={rows} keyOf={({ start }) => String(start)} />
    </details>
  );
}
