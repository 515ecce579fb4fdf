/** A table of things: one row each, whole rows that open what they are; on narrow screens each row is a card. */
import { ArrowDown, ArrowUp } from "lucide-react";
import { type ReactNode, useState } from "react";

import { classes } from "./classes";

export interface Column<T> {
  key: string;
  title: string;
  cell: (row: T) => ReactNode;
  /** Numbers stand at the right, under one another. */
  isNumber?: boolean;
  /** The title is read out, and not shown: for pictures and buttons. */
  isTitleHidden?: boolean;
  /** In a card it stands without its title: it says by itself what it is. */
  isPlainInCard?: boolean;
  /** Shown only from this width on; what is shown from `sm` on has room in a card, too. */
  from?: "sm" | "md" | "lg";
  /** What rows are ordered by where somebody asks for it: only of tables that are there as a whole. */
  order?: (row: T) => number | string;
  className?: string;
}

interface TableProps<T> {
  /** Read out as the table's caption. */
  label: string;
  columns: Column<T>[];
  rows: T[];
  keyOf: (row: T) => string;
  /** The row that the address asks for. */
  current?: string | null;
}

const FROM = { sm: "", md: "max-md:hidden", lg: "max-lg:hidden" };

/** A link with `after:absolute after:inset-0` in a cell covers its row; what else acts in the row is `relative`. */
export function Table<T>({ label, columns, rows, keyOf, current = null }: TableProps<T>) {
  const { ordered, sort, turn } = useOrder(columns, rows);
  return (
    // Wide tables scroll sideways within themselves, so the keyboard must reach them.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="max-lg:overflow-x-auto" role="region" aria-label={label} tabIndex={0}>
      <table className="w-full border-collapse wrap-break-word max-sm:block">
        <caption className="sr-only">{label}</caption>
        <thead className="max-sm:sr-only">
          <tr className="border-b border-line">
            {columns.map((column) => (
              <Head
                key={column.key}
                column={column}
                direction={sort?.key === column.key ? sort.direction : null}
                turn={turn}
              />
            ))}
          </tr>
        </thead>
        <tbody className="max-sm:block">
          {ordered.map((row) => (
            <Row key={keyOf(row)} row={row} columns={columns} isCurrent={keyOf(row) === current} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row<T>({ row, columns, isCurrent }: { row: T; columns: Column<T>[]; isCurrent: boolean }) {
  return (
    <tr
      aria-current={isCurrent ? "true" : undefined}
      ref={isCurrent ? intoView : undefined}
      className="relative border-b border-line last:border-b-0 hover:bg-raised aria-[current]:bg-accent-soft max-sm:flex max-sm:flex-wrap max-sm:items-center max-sm:gap-x-4 max-sm:gap-y-1.5 max-sm:py-2.5"
    >
      {columns.map((column, index) => (
        <td
          key={column.key}
          data-label={column.isTitleHidden || column.isPlainInCard || index === 0 ? undefined : column.title}
          className={classes(placeOf(column), CELL, column.className)}
        >
          {column.cell(row)}
        </td>
      ))}
    </tr>
  );
}

function intoView(row: HTMLTableRowElement | null): void {
  row?.scrollIntoView({ block: "nearest" });
}

const CELL =
  "align-middle sm:h-10 sm:px-2 sm:py-1.5 sm:first:pl-0 sm:last:pr-0 max-sm:max-w-full max-sm:text-left max-sm:empty:hidden max-sm:data-label:before:mr-1.5 max-sm:data-label:before:text-sm max-sm:data-label:before:text-faint max-sm:data-label:before:content-[attr(data-label)]";

function placeOf<T>({ from, isNumber }: Column<T>): string {
  return classes(from && FROM[from], isNumber ? "text-right" : "text-left");
}

interface HeadProps<T> {
  column: Column<T>;
  direction: Direction | null;
  turn: (column: Column<T>) => void;
}

/** The page scrolls under it where the table needs no scrolling of its own. */
const HEAD =
  "h-8 px-2 text-sm font-medium whitespace-nowrap text-faint first:pl-0 last:pr-0 lg:sticky lg:top-0 lg:z-10 lg:bg-bg lg:in-[dialog]:bg-surface";

function Head<T>({ column, direction, turn }: HeadProps<T>) {
  const { title, isTitleHidden, order } = column;
  return (
    <th scope="col" aria-sort={direction ?? undefined} className={classes(placeOf(column), HEAD)}>
      {order === undefined ? (
        <span className={isTitleHidden ? "sr-only" : undefined}>{title}</span>
      ) : (
        <button
          type="button"
          className="inline-flex min-h-6 items-center gap-1 hover:text-fg"
          onClick={() => {
            turn(column);
          }}
        >
          {title}
          {direction === "ascending" && <ArrowUp size={12} aria-hidden />}
          {direction === "descending" && <ArrowDown size={12} aria-hidden />}
        </button>
      )}
    </th>
  );
}

type Direction = "ascending" | "descending";

interface Sort {
  key: string;
  direction: Direction;
}

/** As given until somebody asks: numbers begin with the largest, words with A; the third time it is as given again. */
function useOrder<T>(columns: Column<T>[], rows: T[]) {
  const [sort, setSort] = useState<Sort | null>(null);
  const turn = ({ key, isNumber }: Column<T>) => {
    const first: Direction = isNumber ? "descending" : "ascending";
    setSort((before) => {
      if (before?.key !== key) return { key, direction: first };
      return before.direction === first ? { key, direction: isNumber ? "ascending" : "descending" } : null;
    });
  };
  const order = columns.find(({ key }) => key === sort?.key)?.order;
  const ordered = order === undefined ? rows : rows.toSorted((a, b) => compared(order(a), order(b)));
  return { ordered: sort?.direction === "descending" && order ? ordered.toReversed() : ordered, sort, turn };
}

function compared(a: number | string, b: number | string): number {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}
