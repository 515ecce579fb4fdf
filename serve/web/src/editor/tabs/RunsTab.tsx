/** Every past run of this workflow; choosing one shows its values and outputs on the canvas. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation, useSearchParams } from "wouter";

import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import { useOneRun } from "@/api/queries";
import { tookSeconds } from "@/api/runs";
import type { Run, RunStatus } from "@/api/types";
import type { CanvasDraft } from "@/editor/run/draft";
import { lookAt } from "@/editor/run/looking";
import { pathOfPast } from "@/editor/run/usePastRun";
import { toneOf } from "@/pages/runs/facts";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select } from "@/ui/fields";
import { ago, duration, money } from "@/ui/quantities";
import { EmptyState, ErrorState, Skeleton } from "@/ui/states";
import { type Column, Table } from "@/ui/table";
import { toast } from "@/ui/toast";
import { StateWord } from "@/ui/words";

import { useWhichOptions } from "./useWhich";

const words = strings.versions.runs;
const PAGE = 30;

export default function RunsTab({ draft }: { draft: CanvasDraft }) {
  const [status, setStatus] = useState<RunStatus | "">("");
  const [which, setWhich] = useState("");
  const { data, error, isPending, hasNextPage, fetchNextPage, isFetchingNextPage } = useRunsOf(
    draft.workflow,
    which,
    status,
  );
  const [search] = useSearchParams();
  const asked = search.get("run");
  const runs = useWithAsked(data?.pages.flatMap((page) => page.data) ?? [], asked, draft.workflow);
  const isFiltered = status !== "" || which !== "";
  return (
    <div className="mx-auto flex w-full max-w-[1200px] flex-col gap-4 px-4 py-5 sm:px-6">
      <h2 className="sr-only">{words.title}</h2>
      <Filters workflow={draft.workflow} status={status} which={which} onStatus={setStatus} onWhich={setWhich} />
      {error && <ErrorState error={asApiError(error)} />}
      {isPending && <Skeleton className="h-48 w-full" />}
      {data && runs.length === 0 && (
        <EmptyState
          title={isFiltered ? words.none : words.empty.title}
          text={isFiltered ? undefined : words.empty.text}
        />
      )}
      {runs.length > 0 && <RunTable draft={draft} runs={runs} asked={asked} />}
      {hasNextPage && (
        <Button className="self-center" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {words.more}
        </Button>
      )}
    </div>
  );
}

/** The run that the address asks for is shown, however old it is. */
function useWithAsked(runs: Run[], asked: string | null, workflow: string): Run[] {
  const isThere = asked === null || runs.some(({ id }) => id === asked);
  const { data } = useOneRun(isThere ? null : asked);
  const isOfIt = data !== undefined && !isThere && data.workflow?.split("@")[0] === workflow;
  return isOfIt ? [...runs, data] : runs;
}

function useRunsOf(workflow: string, which: string, status: RunStatus | "") {
  return useInfiniteQuery({
    queryKey: ["workflow", workflow, "runs", which, status],
    queryFn: ({ pageParam }) => {
      const query = {
        workflow: which === "" ? workflow : `${workflow}@${which}`,
        status: status === "" ? undefined : status,
        after: pageParam ?? undefined,
        limit: PAGE,
      };
      return unwrap(api.GET("/v1/runs", { params: { query } }));
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => (page.has_more ? (page.data.at(-1)?.id ?? null) : null),
    refetchInterval: 10_000,
  });
}

interface FiltersProps {
  workflow: string;
  status: RunStatus | "";
  which: string;
  onStatus: (status: RunStatus | "") => void;
  onWhich: (which: string) => void;
}

function Filters({ workflow, status, which, onStatus, onWhich }: FiltersProps) {
  const all = { value: "", label: words.all };
  const statuses = Object.entries(words.statuses).map(([value, label]) => ({ value, label }));
  // Runs are of a number or of the draft: what an alias means may have been another version then.
  const versions = useWhichOptions(workflow).filter(({ value }) => value === "draft" || /^\d+$/.test(value));
  return (
    <div className="flex gap-3">
      <div className="w-40">
        <Select
          label={words.status}
          value={status}
          options={[all, ...statuses]}
          onChange={(event) => {
            onStatus(event.target.value as RunStatus | "");
          }}
        />
      </div>
      <div className="w-48">
        <Select
          label={words.version}
          value={which}
          options={[all, ...versions]}
          onChange={(event) => {
            onWhich(event.target.value);
          }}
        />
      </div>
    </div>
  );
}

function RunTable({ draft, runs, asked }: { draft: CanvasDraft; runs: Run[]; asked: string | null }) {
  const [, go] = useLocation();
  const [opening, setOpening] = useState<string | null>(null);
  const show = async (run: Run) => {
    setOpening(run.id);
    try {
      await lookAt(run);
      go(pathOfPast(draft.workflow, run.id));
    } catch (thrown) {
      toast(asApiError(thrown).message, "bad");
    } finally {
      setOpening(null);
    }
  };
  const columns: Column<Run>[] = [
    { key: "when", title: words.columns.when, className: "whitespace-nowrap", cell: (run) => <When run={run} /> },
    { key: "version", title: words.columns.version, cell: versionOf },
    {
      key: "status",
      title: words.columns.status,
      className: "w-full",
      cell: ({ status }) => <StateWord tone={toneOf(status)}>{words.statuses[status]}</StateWord>,
    },
    { key: "took", title: words.columns.took, isNumber: true, className: "whitespace-nowrap", cell: tookOf },
    { key: "cost", title: words.columns.cost, isNumber: true, from: "sm", cell: (run) => money(run.cost) },
    {
      key: "actions",
      title: words.columns.actions,
      isTitleHidden: true,
      className: "text-right",
      cell: (run) => (
        <Button disabled={opening !== null} onClick={() => void show(run)}>
          {words.show}
        </Button>
      ),
    },
  ];
  return <Table label={words.title} columns={columns} rows={runs} keyOf={({ id }) => id} current={asked} />;
}

function When({ run }: { run: Run }) {
  return (
    <Link href={`/runs/${run.id}`} className="hover:underline">
      <time dateTime={run.created_at}>{ago(run.created_at)}</time>
    </Link>
  );
}

function versionOf({ workflow }: Run): string {
  const which = workflow?.split("@")[1] ?? "";
  return /^\d+$/.test(which) ? strings.versions.version(which) : which;
}

function tookOf(run: Run): string {
  const seconds = tookSeconds(run);
  return seconds === null ? "" : duration(seconds);
}
