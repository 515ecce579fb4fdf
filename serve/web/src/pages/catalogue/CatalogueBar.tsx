/** Search and filters above the cards. `/` goes to the search from anywhere on the page. */
import { Search, X } from "lucide-react";
import { useEffect, useRef } from "react";

import type { Card, Task } from "@/api/types";
import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { Select } from "@/ui/fields";
import { Kbd } from "@/ui/words";

import { type Filters, outputsOf, tasksOf } from "./filters";

interface BarProps {
  cards: Card[];
  filters: Filters;
  change: (changed: Partial<Filters>) => void;
}

export function CatalogueBar({ cards, filters, change }: BarProps) {
  return (
    <search className="flex flex-wrap items-center gap-2">
      <SearchField
        value={filters.q}
        onChange={(q) => {
          change({ q });
        }}
      />
      <Outputs cards={cards} filters={filters} change={change} />
      <div className="w-40">
        <Select
          label={strings.catalogue.task}
          isLabelHidden
          value={filters.task ?? ""}
          onChange={(event) => {
            change({ task: event.target.value === "" ? null : (event.target.value as Task) });
          }}
          options={[
            { value: "", label: strings.catalogue.anyTask },
            ...tasksOf(cards).map((task) => ({ value: task, label: strings.catalogue.tasks[task] })),
          ]}
        />
      </div>
      {filters.base !== null && (
        <button
          type="button"
          aria-label={strings.catalogue.dropBase(filters.base)}
          onClick={() => {
            change({ base: null });
          }}
          className="inline-flex h-7 items-center gap-1 rounded-full border border-accent px-2.5 text-sm"
        >
          {strings.catalogue.base(filters.base)} <X size={12} aria-hidden />
        </button>
      )}
    </search>
  );
}

function SearchField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const go = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      event.preventDefault();
      input.current?.focus();
    };
    document.addEventListener("keydown", go);
    return () => {
      document.removeEventListener("keydown", go);
    };
  }, []);
  return (
    <div className="relative w-full sm:w-80">
      <Search size={14} aria-hidden className="pointer-events-none absolute top-1.75 left-2 text-faint" />
      <input
        ref={input}
        type="search"
        aria-label={strings.catalogue.search}
        placeholder={strings.catalogue.searchHint}
        value={value}
        maxLength={200}
        onChange={(event) => {
          onChange(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") onChange("");
        }}
        className="h-7 w-full rounded-sm border border-line-strong bg-bg pr-8 pl-7 hover:border-faint [&::-webkit-search-cancel-button]:hidden"
      />
      <span className="absolute top-0 right-1 flex h-7 items-center">
        {value === "" ? (
          <Kbd>/</Kbd>
        ) : (
          <IconButton
            label={strings.catalogue.clearSearch}
            className="h-5 w-5"
            onClick={() => {
              onChange("");
              input.current?.focus();
            }}
          >
            <X size={12} aria-hidden />
          </IconButton>
        )}
      </span>
    </div>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** Buttons that are pressed or not: all, and every modality that some model puts out. */
function Outputs({ cards, filters, change }: BarProps) {
  const options = [
    { value: null, label: strings.catalogue.all, count: cards.length },
    ...outputsOf(cards).map(({ modality, count }) => ({
      value: modality,
      label: strings.catalogue.modality[modality],
      count,
    })),
  ];
  return (
    <div role="group" aria-label={strings.catalogue.outputs} className="flex flex-wrap gap-1">
      {options.map(({ value, label, count }) => (
        <button
          key={label}
          type="button"
          aria-pressed={filters.modality === value}
          onClick={() => {
            change({ modality: value });
          }}
          className="inline-flex h-7 items-center gap-1.5 rounded-full border border-line px-2.5 text-sm text-muted transition-colors hover:border-faint hover:text-fg aria-pressed:border-accent aria-pressed:text-fg"
        >
          {label} <span className="text-faint">{count}</span>
        </button>
      ))}
    </div>
  );
}
