/** How a page of lists and facts is laid out: its name, its acts, its content at a width that can be read. */
import type { ReactNode } from "react";

import { classes } from "@/ui/classes";

interface PageFrameProps {
  title: ReactNode;
  /** One sentence under the title, where the title is not enough. */
  text?: ReactNode;
  /** Right of the title; below it on narrow screens. */
  actions?: ReactNode;
  children: ReactNode;
}

export function PageFrame({ title, text, actions, children }: PageFrameProps) {
  return (
    <div className="mx-auto flex w-full max-w-[1200px] flex-col gap-5 px-4 py-5 sm:px-6">
      <header className="flex flex-wrap items-start justify-between gap-x-4 gap-y-3">
        <div className="min-w-0">
          <h1 className="text-xl font-bold">{title}</h1>
          {text && <p className="mt-0.5 max-w-[96ch] text-pretty text-muted">{text}</p>}
        </div>
        {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

interface SectionProps {
  title: ReactNode;
  text?: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
  className?: string;
}

/** A part of a page, with a heading and a line above it. */
export function Section({ title, text, aside, children, className }: SectionProps) {
  return (
    <section className={classes("flex min-w-0 flex-col gap-3 border-t border-line pt-4", className)}>
      <div className="flex flex-wrap items-baseline justify-between gap-x-4 gap-y-2">
        <div className="min-w-0">
          <h2 className="text-lg font-semibold">{title}</h2>
          {text && <p className="max-w-[96ch] text-pretty text-muted">{text}</p>}
        </div>
        {aside && <div className="flex flex-wrap items-center gap-2">{aside}</div>}
      </div>
      {children}
    </section>
  );
}

/** Names and values, in as many columns as there is room for. A value that is null is left out. */
export function Facts({ facts }: { facts: [name: string, value: ReactNode][] }) {
  return (
    <dl className="grid grid-cols-[repeat(auto-fill,minmax(140px,1fr))] gap-x-4 gap-y-3">
      {facts
        .filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false)
        .map(([name, value]) => (
          <div key={name} className="min-w-0">
            <dt className="text-sm text-faint">{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
