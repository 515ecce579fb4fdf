/** `/runs`: every run of the tenant, newest first; what goes on is told anew by itself. */
import { Link, useLocation, useSearch } from "wouter";

import { isLive } from "@/api/runs";
import type { Run } from "@/api/types";
import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { PageFrame } from "@/pages/frame/PageFrame";
import { RequireSession } from "@/shell/RequireSession";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { EmptyState } from "@/ui/states";

import { filtersOf, type RunFilters, searchOf } from "./filters";
import { useRuns } from "./queries";
import { RunFilterBar } from "./RunFilterBar";
import { RunRows } from "./RunRows";

const WORDS = strings.runs;

export default function RunsPage() {
  return (
    <RequireSession title={WORDS.title} text={WORDS.text} scope="read">
      <Runs />
    </RequireSession>
  );
}

function Runs() {
  const [, navigate] = useLocation();
  const filters = filtersOf(useSearch());
  const runs = useRuns(filters);
  const show = (next: RunFilters) => {
    const search = searchOf(next);
    navigate(search === "" ? "/runs" : `/runs?${search}`);
  };
  return (
    <PageFrame title={WORDS.title} text={WORDS.text}>
      <RunFilterBar filters={filters} onChange={show} live={runs.data?.data.filter(isLive).length ?? 0} />
      <Answered query={runs} waiting={<RowsWaiting rows={10} />}>
        {(page) =>
          page.data.length === 0 ? (
            <NoRuns filters={filters} />
          ) : (
            <>
              <RunRows runs={page.data} />
              <Pages filters={filters} last={page.has_more ? page.data.at(-1) : undefined} />
            </>
          )
        }
      </Answered>
    </PageFrame>
  );
}

function NoRuns({ filters }: { filters: RunFilters }) {
  if (filters.status !== null || filters.of !== "" || filters.after !== null)
    return (
      <EmptyState
        title={WORDS.noneMatch}
        action={
          <Button asChild>
            <Link href="/runs">{WORDS.clear}</Link>
          </Button>
        }
      />
    );
  return (
    <EmptyState
      title={WORDS.empty}
      text={WORDS.emptyText}
      action={
        <Button kind="primary" large asChild>
          <Link href="/models">{WORDS.openModels}</Link>
        </Button>
      }
    />
  );
}

function Pages({ filters, last }: { filters: RunFilters; last: Run | undefined }) {
  return (
    <nav aria-label={WORDS.title} className="flex justify-between gap-2">
      {filters.after !== null ? (
        <Button asChild>
          <Link href={`/runs?${searchOf({ ...filters, after: null })}`}>{WORDS.newest}</Link>
        </Button>
      ) : (
        <span />
      )}
      {last && (
        <Button asChild>
          <Link href={`/runs?${searchOf({ ...filters, after: last.id })}`}>{WORDS.older}</Link>
        </Button>
      )}
    </nav>
  );
}
