/** Every past run of this workflow; choosing one shows its values and outputs on the canvas. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";

import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import type { Run, RunStatus } from "@/api/types";
import type { CanvasDraft } from "@/editor/run/draft";
import { lookAt } from "@/editor/run/looking";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select } from "@/ui/fields";
import { ago, duration, money } from "@/ui/quantities";
import { EmptyState, ErrorState, Skeleton } from "@/ui/states";
import { toast } from "@/ui/toast";
import { StateWord, type Tone } from "@/ui/words";

import { useWhichOptions } from "./useWhich";

const words = strings.versions.runs;
const PAGE = 30;
const TONES: Record<RunStatus, Tone> = {
  queued: "plain",
  running: "info",
  succeeded: "ok",
  failed: "bad",
  canceled: "warn",
};

export default function RunsTab({ draft }: { draft: CanvasDraft }) {
  const [status, setStatus] = useState<RunStatus | "">("");
  const [which, setWhich] = useState("");
  const { data, error, isPending, hasNextPage, fetchNextPage, isFetchingNextPage } = useRunsOf(
    draft.workflow,
    which,
    status,
  );
  const runs = data?.pages.flatMap((page) => page.data) ?? [];
  const isFiltered = status !== "" || which !== "";
  return (
    <div className="mx-auto flex w-full max-w-5xl flex-col gap-4 p-4 md:p-6">
      <h1 className="sr-only">{words.title}</h1>
      <Filters workflow={draft.workflow} status={status} which={which} onStatus={setStatus} onWhich={setWhich} />
      {error && <ErrorState error={asApiError(error)} />}
      {isPending && <Skeleton className="h-48 w-full" />}
      {data && runs.length === 0 && (
        <EmptyState
          title={isFiltered ? words.none : words.empty.title}
          text={isFiltered ? undefined : words.empty.text}
        />
      )}
      {runs.length > 0 && <RunTable draft={draft} runs={runs} />}
      {hasNextPage && (
        <Button className="self-center" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {words.more}
        </Button>
      )}
    </div>
  );
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

function RunTable({ draft, runs }: { draft: CanvasDraft; runs: Run[] }) {
  const [, go] = useLocation();
  const [opening, setOpening] = useState<string | null>(null);
  const show = async (run: Run) => {
    setOpening(run.id);
    try {
      await lookAt(run);
      go(`/w/${draft.workflow}`);
    } catch (thrown) {
      toast(asApiError(thrown).message, "bad");
    } finally {
      setOpening(null);
    }
  };
  const { columns } = words;
  return (
    // Scrolls sideways on narrow screens, so the keyboard must reach it.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="overflow-x-auto" tabIndex={0} role="region" aria-label={words.title}>
      <table className="w-full text-left whitespace-nowrap">
        <thead className="text-sm text-muted">
          <tr>
            <th className="py-1 pr-4 font-normal">{columns.when}</th>
            <th className="py-1 pr-4 font-normal">{columns.version}</th>
            <th className="py-1 pr-4 font-normal">{columns.status}</th>
            <th className="py-1 pr-4 text-right font-normal">{columns.took}</th>
            <th className="py-1 pr-4 text-right font-normal">{columns.cost}</th>
            <th className="py-1 font-normal">
              <span className="sr-only">{columns.actions}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.id} className="border-t border-line">
              <td className="py-1.5 pr-4">
                <Link href={`/runs/${run.id}`} className="hover:underline">
                  <time dateTime={run.created_at}>{ago(run.created_at)}</time>
                </Link>
              </td>
              <td className="py-1.5 pr-4">{versionOf(run)}</td>
              <td className="py-1.5 pr-4">
                <StateWord tone={TONES[run.status]}>{words.statuses[run.status]}</StateWord>
              </td>
              <td className="py-1.5 pr-4 text-right">{tookOf(run)}</td>
              <td className="py-1.5 pr-4 text-right">{money(run.cost)}</td>
              <td className="py-1 text-right">
                <Button disabled={opening !== null} onClick={() => void show(run)}>
                  {words.show}
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function versionOf({ workflow }: Run): string {
  const which = workflow?.split("@")[1] ?? "";
  return /^\d+$/.test(which) ? strings.versions.version(which) : which;
}

function tookOf({ started_at: started, finished_at: finished }: Run): string {
  return started === null || finished === null ? "" : duration((Date.parse(finished) - Date.parse(started)) / 1000);
}
