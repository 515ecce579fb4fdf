/** What can be done with a run: stop it, start it again, take it elsewhere, forget it. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";

import { asApiError } from "@/api/errors";
import { isLive } from "@/api/runs";
import type { Run } from "@/api/types";
import { Confirm } from "@/pages/frame/Confirm";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { toast } from "@/ui/toast";
import { Tip } from "@/ui/tooltip";

import { placeOf } from "./places";
import { deleteRun, useCancel, useRetry } from "./queries";

const WORDS = strings.runs;

function showError(thrown: unknown): void {
  toast(asApiError(thrown).message, "bad");
}

export function RunActs({ run }: { run: Run }) {
  const { may } = useSession();
  const place = placeOf(run);
  return (
    <>
      {place !== null && (
        <Button asChild>
          <Link href={place}>{run.kind === "workflow" ? WORDS.openWorkflow : WORDS.openPlayground}</Link>
        </Button>
      )}
      {may("inference") && (isLive(run) ? <Cancel run={run} /> : <Ended run={run} />)}
    </>
  );
}

function Cancel({ run }: { run: Run }) {
  const canceling = useCancel();
  const isAsked = canceling.isPending || canceling.isSuccess;
  return (
    <Button
      kind="danger"
      disabled={isAsked}
      onClick={() => {
        canceling.mutate(run, {
          onError: showError,
          onSuccess: (now) => {
            if (isLive(now)) toast(WORDS.cancelAsked);
          },
        });
      }}
    >
      {isAsked ? WORDS.canceling : WORDS.cancel}
    </Button>
  );
}

function Ended({ run }: { run: Run }) {
  const [, navigate] = useLocation();
  const queries = useQueryClient();
  const retrying = useRetry();
  const [isAsking, setAsking] = useState(false);
  const retry = () => {
    retrying.mutate(run, {
      onError: showError,
      onSuccess: (made) => {
        toast(WORDS.retried);
        navigate(`/runs/${made.id}`);
      },
    });
  };
  return (
    <>
      <Button
        kind="danger"
        onClick={() => {
          setAsking(true);
        }}
      >
        {WORDS.delete}
      </Button>
      <Tip text={WORDS.retryHint}>
        <Button kind="primary" disabled={retrying.isPending} onClick={retry}>
          {WORDS.retry}
        </Button>
      </Tip>
      <Confirm
        open={isAsking}
        onClose={() => {
          setAsking(false);
        }}
        title={WORDS.deleteTitle}
        act={WORDS.delete}
        run={() => deleteRun(run.id)}
        onDone={() => {
          toast(WORDS.deleted, "ok");
          navigate("/runs");
          void queries.invalidateQueries({ queryKey: ["runs"] });
        }}
      >
        <p>{WORDS.deleteText}</p>
      </Confirm>
    </>
  );
}
