/** What stands between the bar and the tab: what somebody else saved, what could not be saved, work that can be brought back. */
import { useEffect } from "react";

import { asApiError } from "@/api/errors";
import { useSession } from "@/shell/session";
import { isOneself, useWho } from "@/shell/useWho";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { ago } from "@/ui/quantities";
import { toast } from "@/ui/toast";

import { useAutosave, useEditor, useEditorStore } from "./EditorStore";

const words = strings.editor.canvas.page;

export function Notices() {
  const status = useEditor((store) => store.status);
  return (
    <>
      {status === "conflict" && <Conflict />}
      {(status === "error" || status === "offline") && <NotSaved />}
      {status === "read-only" && <ReadOnly />}
      <Restorable />
      <TakenOver />
    </>
  );
}

const BAR = "flex flex-wrap items-center gap-2 border-b border-line px-4 py-1.5";

function Conflict() {
  const conflict = useEditor((store) => store.conflict);
  const autosave = useAutosave();
  const { me } = useSession();
  const who = useWho();
  if (conflict === null) return null;
  const { updated_by: by, updated_at: at } = conflict;
  return (
    <section role="alert" className={`${BAR} bg-accent-soft`}>
      <p className="min-w-0 flex-1">
        {isOneself(me, by) ? words.conflictOwn(ago(at)) : words.conflict(capitalized(who(by)), ago(at))}
      </p>
      <Button
        onClick={() => {
          autosave.takeTheirs();
          focusPage();
        }}
      >
        {words.takeTheirs}
      </Button>
      <Button
        onClick={() => {
          focusPage();
          void autosave.keepMine().catch((thrown: unknown) => {
            toast(asApiError(thrown).message, "bad");
          });
        }}
      >
        {words.keepMine}
      </Button>
    </section>
  );
}

function NotSaved() {
  const error = useEditor((store) => store.error);
  const autosave = useAutosave();
  if (error === null) return null;
  return (
    <section role="alert" className={BAR}>
      <p className="min-w-0 flex-1">{words.notSaved(error.message)}</p>
      <Button
        onClick={() => {
          autosave.retry();
        }}
      >
        {strings.errors.retry}
      </Button>
    </section>
  );
}

function ReadOnly() {
  const managedBy = useEditor((store) => store.draft.managed_by);
  return <p className={`${BAR} text-muted`}>{managedBy === "api" ? words.noWriting : words.managed(managedBy)}</p>;
}

function Restorable() {
  const restorable = useEditor((store) => store.restorable);
  const autosave = useAutosave();
  if (restorable === null) return null;
  return (
    <section role="status" className={BAR}>
      <p className="min-w-0 flex-1">{words.restorable(ago(new Date(restorable.at).toISOString()))}</p>
      <Button
        onClick={() => {
          autosave.restore();
        }}
      >
        {words.restore}
      </Button>
      <Button
        kind="quiet"
        onClick={() => {
          autosave.discard();
        }}
      >
        {words.discard}
      </Button>
    </section>
  );
}

/** Somebody else saved while nothing was changed here: it is shown already, and said once. */
function TakenOver() {
  const by = useEditor((store) => store.changedBy);
  const store = useEditorStore();
  const { me } = useSession();
  const who = useWho();
  useEffect(() => {
    if (by === null) return;
    toast(isOneself(me, by) ? words.takenOverOwn : words.takenOver(capitalized(who(by))));
    store.setState({ changedBy: null });
  }, [by, store, me, who]);
  return null;
}

/** What was pressed goes away: the focus does not go with it. */
function focusPage(): void {
  document.getElementById("content")?.focus();
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
