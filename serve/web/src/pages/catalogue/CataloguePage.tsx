/** What is served here: every model with what it makes, what it costs and whether it is awake. */
import { useId } from "react";
import { useSearchParams } from "wouter";

import { asApiError } from "@/api/errors";
import { useAdaptersByBase, useCatalogue } from "@/api/queries";
import type { Card } from "@/api/types";
import { useLeftToday } from "@/shell/left-today";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { EmptyState, ErrorState, Skeleton } from "@/ui/states";

import { CatalogueBar } from "./CatalogueBar";
import { type Filters, filtersOf, matching, picturesFirst, queryOf } from "./filters";
import { ModelCard } from "./ModelCard";

const GRID = "grid grid-cols-1 gap-4 sm:grid-cols-2 lg:grid-cols-3 xl:grid-cols-4";

export default function CataloguePage() {
  const { data, error, refetch } = useCatalogue();
  const [search, setSearch] = useSearchParams();
  const filters = filtersOf(search.toString());
  const change = (changed: Partial<Filters>) => {
    setSearch(queryOf({ ...filters, ...changed }), { replace: true });
  };
  return (
    <div className="mx-auto flex max-w-[1520px] flex-col gap-4 p-4 md:p-6">
      <h1 className="text-xl font-bold">{strings.catalogue.title}</h1>
      {data === undefined && error === null && <Waiting />}
      {data === undefined && error !== null && <ErrorState error={asApiError(error)} retry={() => void refetch()} />}
      {data !== undefined && data.length === 0 && <NoModels />}
      {data !== undefined && data.length > 0 && (
        <Shown cards={data} filters={filters} change={change} isStale={error !== null} />
      )}
    </div>
  );
}

interface ShownProps {
  cards: Card[];
  filters: Filters;
  change: (changed: Partial<Filters>) => void;
  isStale: boolean;
}

function Shown({ cards, filters, change, isStale }: ShownProps) {
  const adapters = useAdaptersByBase().data;
  const found = picturesFirst(matching(cards, filters));
  const countId = useId();
  return (
    <>
      <CatalogueBar cards={cards} filters={filters} change={change} />
      <div className="flex flex-wrap items-baseline justify-between gap-x-4 gap-y-1 text-sm text-muted">
        <p id={countId} role="status">
          {isStale ? strings.catalogue.stale : strings.catalogue.shown(found.length, cards.length)}
        </p>
        <SignedOutNote />
      </div>
      {found.length === 0 ? (
        <NoMatch
          clear={() => {
            change({ q: "", modality: null, task: null, base: null });
          }}
        />
      ) : (
        <ul className={GRID} aria-describedby={countId}>
          {found.map((card) => (
            <ModelCard key={card.name} card={card} numAdapters={adapters?.get(card.name)?.length ?? 0} />
          ))}
        </ul>
      )}
    </>
  );
}

/** Without a session only the playground's models are told; say so, and what is left of it. */
function SignedOutNote() {
  const { isSignedIn, isLoading } = useSession();
  const calls = useLeftToday();
  if (isSignedIn || isLoading) return null;
  return (
    <p>
      {strings.catalogue.signedOut} {calls !== null && strings.catalogue.left(calls.left, calls.limit)}
    </p>
  );
}

function NoMatch({ clear }: { clear: () => void }) {
  return (
    <EmptyState
      title={strings.catalogue.noMatch}
      text={strings.catalogue.noMatchText}
      action={<Button onClick={clear}>{strings.catalogue.clear}</Button>}
    />
  );
}

function NoModels() {
  const { isSignedIn } = useSession();
  const says = strings.catalogue;
  if (isSignedIn) return <EmptyState title={says.empty} text={says.emptyText} />;
  return <EmptyState title={says.nothingOpen} text={says.nothingOpenText} />;
}

function Waiting() {
  return (
    <div role="status" aria-label={strings.shell.loading} className="flex flex-col gap-4">
      <Skeleton className="h-8 w-full max-w-xl" />
      <div className={GRID}>
        {[1, 2, 3, 4].map((place) => (
          <Skeleton key={place} className="h-80 w-full rounded-md" />
        ))}
      </div>
    </div>
  );
}
