/** A table of things: one row each, columns that give way on narrow screens, a whole row that opens what it is. */
import type { ReactNode } from "react";

import { classes } from "@/ui/classes";

export interface Column<T> {
  key: string;
  title: string;
  cell: (row: T) => ReactNode;
  /** Numbers stand at the right, under one another. */
  isNumber?: boolean;
  /** The title is read out, and not shown: for pictures and buttons. */
  isTitleHidden?: boolean;
  /** Shown only from this width on. */
  from?: "sm" | "md" | "lg";
  className?: string;
}

interface RowsProps<T> {
  label: string;
  columns: Column<T>[];
  rows: T[];
  keyOf: (row: T) => string;
}

const FROM = { sm: "max-sm:hidden", md: "max-md:hidden", lg: "max-lg:hidden" };

/** A link with `after:absolute after:inset-0` in a cell covers its row; what else acts in the row is `relative`. */
export function Rows<T>({ label, columns, rows, keyOf }: RowsProps<T>) {
  const place = ({ from, isNumber }: Column<T>) => classes(from && FROM[from], isNumber ? "text-right" : "text-left");
  return (
    // Wide tables scroll sideways within themselves, so the keyboard must reach them.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="overflow-x-auto" role="region" aria-label={label} tabIndex={0}>
      <table className="w-full border-collapse wrap-break-word">
        <thead>
          <tr className="border-b border-line">
            {columns.map((column) => (
              <th
                key={column.key}
                scope="col"
                className={classes(
                  place(column),
                  "h-8 px-2 text-sm font-medium whitespace-nowrap text-faint first:pl-0",
                )}
              >
                <span className={column.isTitleHidden ? "sr-only" : undefined}>{column.title}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} className="relative border-b border-line hover:bg-raised">
              {columns.map((column) => (
                <td
                  key={column.key}
                  className={classes(place(column), "h-10 px-2 py-1.5 align-middle first:pl-0", column.className)}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
