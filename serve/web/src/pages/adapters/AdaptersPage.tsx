/** `/adapters`: those of the tenant and those shared with it; add one, look into it, try it, change it, delete it. */
import { useState } from "react";
import { Link, useSearchParams } from "wouter";

import { useCatalogue } from "@/api/queries";
import type { Adapter, Card } from "@/api/types";
import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { PageFrame } from "@/pages/frame/PageFrame";
import { type Column, Table } from "@/ui/table";
import { RequireSession } from "@/shell/RequireSession";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select } from "@/ui/fields";
import { ago, bytes } from "@/ui/quantities";
import { EmptyState } from "@/ui/states";
import { Chip } from "@/ui/words";

import { AdapterDetails } from "./AdapterDetails";
import { NewAdapter } from "./NewAdapter";
import { tryPlace } from "./places";
import { useAdapters } from "./queries";

const WORDS = strings.adapters;

export default function AdaptersPage() {
  return (
    <RequireSession title={WORDS.title} text={WORDS.text} scope="read">
      <Adapters />
    </RequireSession>
  );
}

function Adapters() {
  const { may } = useSession();
  const bases = (useCatalogue().data ?? []).filter((card) => card.adapters.enabled);
  const [search, setSearch] = useSearchParams();
  const base = search.get("base") ?? "";
  const say = (name: "base" | "adapter", value: string) => {
    setSearch((before) => {
      if (value === "") before.delete(name);
      else before.set(name, value);
      return before;
    });
  };
  const [isAdding, setAdding] = useState(false);
  const found = useAdapters(base);
  const adapters = found.data?.pages.flatMap((page) => page.data);
  const add = may("adapters.write") && (
    <Button
      kind="primary"
      onClick={() => {
        setAdding(true);
      }}
    >
      {WORDS.add}
    </Button>
  );
  const names = bases.map(({ name }) => ({ value: name, label: name }));
  // What the address asks for is shown, whether or not it is still in the catalogue.
  if (base !== "" && !names.some(({ value }) => value === base)) names.push({ value: base, label: base });
  return (
    <PageFrame title={WORDS.title} text={WORDS.text} actions={add}>
      <div className="max-w-60">
        <Select
          label={WORDS.filterBase}
          value={base}
          options={[{ value: "", label: WORDS.anyBase }, ...names]}
          onChange={({ target }) => {
            say("base", target.value);
          }}
        />
      </div>
      <Answered query={{ ...found, data: adapters }} waiting={<RowsWaiting />}>
        {(rows) =>
          rows.length === 0 ? (
            <Nothing isFiltered={base !== ""} mayAdd={may("adapters.write")} action={add} />
          ) : (
            <>
              <Table
                label={WORDS.title}
                columns={columns(bases, ({ address }) => {
                  say("adapter", address);
                })}
                rows={rows}
                keyOf={({ id }) => id}
              />
              {found.hasNextPage && (
                <div>
                  <Button disabled={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
                    {WORDS.more}
                  </Button>
                </div>
              )}
            </>
          )
        }
      </Answered>
      <NewAdapter
        open={isAdding}
        bases={bases}
        onClose={() => {
          setAdding(false);
        }}
      />
      <AdapterDetails
        address={search.get("adapter")}
        bases={bases}
        onClose={() => {
          say("adapter", "");
        }}
      />
    </PageFrame>
  );
}

function Nothing({ isFiltered, mayAdd, action }: { isFiltered: boolean; mayAdd: boolean; action: React.ReactNode }) {
  if (isFiltered) return <EmptyState title={WORDS.noneMatch} />;
  return <EmptyState title={WORDS.empty} text={mayAdd ? WORDS.emptyText : WORDS.emptyReader} action={action} />;
}

function columns(bases: Card[], open: (adapter: Adapter) => void): Column<Adapter>[] {
  return [
    {
      key: "name",
      title: WORDS.columns.name,
      className: "w-full",
      cell: (adapter) => <Name adapter={adapter} open={open} />,
    },
    {
      key: "base",
      title: WORDS.columns.base,
      from: "sm",
      className: "whitespace-nowrap",
      cell: (adapter) => adapter.base ?? WORDS.anyBaseThatFits,
    },
    { key: "words", title: WORDS.columns.words, from: "lg", cell: (adapter) => <Triggers adapter={adapter} /> },
    {
      key: "format",
      title: WORDS.columns.format,
      from: "md",
      className: "whitespace-nowrap text-muted",
      cell: (adapter) => WORDS.formats[adapter.format],
    },
    { key: "rank", title: WORDS.columns.rank, isNumber: true, from: "md", cell: (adapter) => adapter.rank },
    {
      key: "size",
      title: WORDS.columns.size,
      isNumber: true,
      from: "sm",
      className: "whitespace-nowrap",
      cell: (adapter) => bytes(adapter.num_bytes),
    },
    {
      key: "changed",
      title: WORDS.columns.changed,
      from: "md",
      className: "whitespace-nowrap text-muted",
      cell: (adapter) => ago(adapter.updated_at),
    },
    {
      key: "actions",
      title: WORDS.columns.actions,
      isTitleHidden: true,
      cell: (adapter) => <TryIt adapter={adapter} bases={bases} />,
    },
  ];
}

function Name({ adapter, open }: { adapter: Adapter; open: (adapter: Adapter) => void }) {
  return (
    <div className="min-w-0">
      <button
        type="button"
        aria-label={WORDS.open(adapter.address)}
        className="font-medium after:absolute after:inset-0"
        onClick={() => {
          open(adapter);
        }}
      >
        {adapter.address}
      </button>
      <p className="line-clamp-1 text-sm text-muted">{adapter.description || adapter.title}</p>
    </div>
  );
}

function Triggers({ adapter }: { adapter: Adapter }) {
  return (
    <span className="flex max-w-60 flex-wrap gap-1">
      {adapter.trigger_words.map((word) => (
        <Chip key={word}>{word}</Chip>
      ))}
    </span>
  );
}

export function TryIt({ adapter, bases }: { adapter: Adapter; bases: Card[] }) {
  const place = tryPlace(adapter, bases);
  if (place === null) return null;
  return (
    <Button className="relative" asChild>
      <Link href={place}>{WORDS.tryIt}</Link>
    </Button>
  );
}
