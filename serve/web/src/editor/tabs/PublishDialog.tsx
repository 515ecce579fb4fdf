/** Publishing: what is new since the latest version, what may break, a note, and the aliases that are to mean it. */
import { useState } from "react";

import { call } from "@/api/client";
import { ApiError, asApiError } from "@/api/errors";
import type { CanvasDraft } from "@/editor/run/draft";
import { ProblemList } from "@/editor/run/PlanDetails";
import { problemsOf } from "@/editor/run/problems";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { TextArea, TextField } from "@/ui/fields";
import { Skeleton } from "@/ui/states";
import { toast } from "@/ui/toast";

import { Differences } from "./Differences";
import { useDifferences, useRefreshWorkflow, useWorkflow, type Version } from "./useVersions";

/** For the editor's bar. Which number the version gets is known once it has it: those of deleted ones are not given again. */
export function PublishButton({ draft, kind }: { draft: CanvasDraft; kind?: "primary" | "secondary" }) {
  const [isOpen, setOpen] = useState(false);
  const { may } = useSession();
  const { data } = useWorkflow(draft.workflow);
  const words = strings.versions;
  if (!may("workflows.write")) return null;
  const open = async () => {
    // What is compared and published is what is saved: the canvas may be ahead of it by a second.
    try {
      await draft.saved();
      setOpen(true);
    } catch (thrown) {
      toast(asApiError(thrown).message, "bad");
    }
  };
  return (
    <>
      <Button kind={kind} onClick={() => void open()}>
        {words.publish}
      </Button>
      {isOpen && (
        <PublishDialog
          draft={draft}
          latest={data?.latest ?? null}
          onClose={() => {
            setOpen(false);
          }}
        />
      )}
    </>
  );
}

interface PublishDialogProps {
  draft: CanvasDraft;
  latest: number | null;
  onClose: () => void;
}

function PublishDialog({ draft, latest, onClose }: PublishDialogProps) {
  const words = strings.versions;
  const [note, setNote] = useState("");
  const [aliases, setAliases] = useState("");
  const [error, setError] = useState<ApiError | null>(null);
  const [isBusy, setBusy] = useState(false);
  const refresh = useRefreshWorkflow(draft.workflow);
  const found = useDifferences(draft.workflow, "latest", "draft", draft.revision, latest !== null);
  const publish = async () => {
    setBusy(true);
    setError(null);
    try {
      const { version, isNew } = await published(draft, note, namesIn(aliases));
      toast(isNew ? words.published(version.address) : words.nothingNew, "ok");
      await refresh();
      onClose();
    } catch (thrown) {
      setError(asApiError(thrown));
    } finally {
      setBusy(false);
    }
  };
  const problems = problemsOf(error);
  return (
    <Dialog
      open
      onClose={onClose}
      title={words.publishTitle}
      footer={
        <>
          <Button onClick={onClose}>{strings.shell.cancel}</Button>
          <Button kind="primary" disabled={isBusy} onClick={() => void publish()}>
            {words.publish}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-4">
        <p className="text-muted">{latest === null ? words.first : words.publishText}</p>
        {latest !== null && found.isPending && <Skeleton className="h-16 w-full" />}
        {found.error && <p className="text-bad">{asApiError(found.error).message}</p>}
        {found.data && <Differences found={found.data} />}
        <TextArea
          label={words.note}
          hint={words.noteHint}
          maxLength={400}
          rows={2}
          value={note}
          onChange={(event) => {
            setNote(event.target.value);
          }}
        />
        <TextField
          label={words.aliasLabel}
          hint={words.aliasHint}
          value={aliases}
          onChange={(event) => {
            setAliases(event.target.value);
          }}
        />
        {problems.length > 0 ? (
          <ProblemList
            problems={problems}
            focusField={(node, field) => {
              onClose();
              draft.focusField(node, field);
            }}
          />
        ) : (
          error !== null && (
            <p role="alert" className="text-bad">
              {error.message}
            </p>
          )
        )}
      </div>
    </Dialog>
  );
}

export function namesIn(text: string): string[] {
  return text.split(/[\s,]+/).filter((one) => one !== "");
}

async function published(
  draft: CanvasDraft,
  note: string,
  aliases: string[],
): Promise<{ version: Version; isNew: boolean }> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  // Of what was compared above, or nothing: another's save in the meantime is a conflict, not a surprise.
  if (draft.revision !== null) headers["if-match"] = `"${draft.revision}"`;
  const path = `/v1/workflows/${encodeURIComponent(draft.workflow)}/versions`;
  const response = await call(path, { method: "POST", headers, body: JSON.stringify({ note, aliases }) });
  return { version: (await response.json()) as Version, isNew: response.status === 201 };
}
