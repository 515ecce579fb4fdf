/** The runs of a page as rows. Each opens its run; one that goes on can be canceled, one that ended be run again. */
import { Link, useLocation } from "wouter";

import { asApiError } from "@/api/errors";
import { isLive, tookSeconds } from "@/api/runs";
import type { Run } from "@/api/types";
import { type Column, Table } from "@/ui/table";
import { useSession } from "@/shell/session";
import { useNow } from "@/pages/frame/now";
import { assetUrl } from "@/media/assets";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { ago, duration, money } from "@/ui/quantities";
import { toast } from "@/ui/toast";
import { StateWord } from "@/ui/words";

import { assetsWithin, gist, isPicture, nameOf, toneOf } from "./facts";
import { useCancel, useRetry } from "./queries";

const WORDS = strings.runs;
const THUMBNAILS = 3;

export function RunRows({ runs }: { runs: Run[] }) {
  const now = useNow(runs.some(isLive));
  const { may } = useSession();
  const shown = may("inference") ? [...columns(now), ACTIONS] : columns(now);
  return <Table label={WORDS.title} columns={shown} rows={runs} keyOf={(run) => run.id} />;
}

function columns(now: number): Column<Run>[] {
  return [
    {
      key: "status",
      title: WORDS.columns.status,
      cell: (run) => <StateWord tone={toneOf(run.status)}>{WORDS.statuses[run.status]}</StateWord>,
    },
    {
      key: "what",
      title: WORDS.columns.what,
      isPlainInCard: true,
      className: "sm:whitespace-nowrap",
      cell: (run) => (
        <Link
          href={`/runs/${run.id}`}
          aria-label={WORDS.open(nameOf(run))}
          className="font-medium after:absolute after:inset-0"
        >
          {nameOf(run)}
        </Link>
      ),
    },
    {
      key: "input",
      title: WORDS.columns.input,
      isPlainInCard: true,
      className: "w-full sm:max-w-0 sm:max-md:hidden",
      cell: Gist,
    },
    {
      key: "made",
      title: WORDS.columns.made,
      isPlainInCard: true,
      from: "sm",
      cell: (run) => <Thumbnails run={run} />,
    },
    {
      key: "started",
      title: WORDS.columns.started,
      from: "lg",
      className: "whitespace-nowrap text-muted",
      cell: (run) => <time dateTime={run.created_at}>{ago(run.created_at)}</time>,
    },
    {
      key: "took",
      title: WORDS.columns.took,
      isNumber: true,
      className: "whitespace-nowrap",
      cell: (run) => {
        const seconds = tookSeconds(run, now);
        return seconds === null ? null : duration(seconds);
      },
    },
    {
      key: "cost",
      title: WORDS.columns.cost,
      isNumber: true,
      from: "sm",
      className: "whitespace-nowrap",
      cell: (run) => money(run.cost),
    },
  ];
}

function Gist(run: Run) {
  return <p className="truncate text-muted">{run.error === null ? gist(run.input) : run.error.message}</p>;
}

function Thumbnails({ run }: { run: Run }) {
  const pictures = assetsWithin(run.output).filter(isPicture);
  if (pictures.length === 0) return null;
  return (
    <span className="flex items-center gap-1">
      {pictures.slice(0, THUMBNAILS).map((picture) => (
        <img
          key={picture.id}
          src={assetUrl(picture.id)}
          alt=""
          loading="lazy"
          className="size-7 shrink-0 rounded-sm border border-line object-cover"
        />
      ))}
      {pictures.length > THUMBNAILS && (
        <span className="text-sm text-muted">+{String(pictures.length - THUMBNAILS)}</span>
      )}
    </span>
  );
}

const ACTIONS: Column<Run> = {
  key: "actions",
  title: WORDS.columns.actions,
  isTitleHidden: true,
  from: "sm",
  className: "text-right",
  cell: (run) => <Act run={run} />,
};

function Act({ run }: { run: Run }) {
  const [, navigate] = useLocation();
  const canceling = useCancel();
  const retrying = useRetry();
  const onError = (thrown: unknown) => {
    toast(asApiError(thrown).message, "bad");
  };
  // Above the link that covers the row.
  if (isLive(run))
    return (
      <Button
        kind="quiet"
        className="relative"
        disabled={canceling.isPending || canceling.isSuccess}
        onClick={() => {
          canceling.mutate(run, { onError });
        }}
      >
        {canceling.isSuccess ? WORDS.canceling : WORDS.cancel}
      </Button>
    );
  return (
    <Button
      kind="quiet"
      className="relative"
      disabled={retrying.isPending}
      onClick={() => {
        retrying.mutate(run, {
          onError,
          onSuccess: (made) => {
            toast(WORDS.retried);
            navigate(`/runs/${made.id}`);
          },
        });
      }}
    >
      {WORDS.retry}
    </Button>
  );
}
