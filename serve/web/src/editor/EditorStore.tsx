/** Opens a workflow for the components within: reads its draft, keeps it saved, and looks for the changes of others. */
import { useQuery } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { useStore } from "zustand";

import { ApiError, asApiError } from "@/api/errors";
import { beforeOwnerLeaves } from "@/api/owner";
import type { Me } from "@/api/types";
import { useSession } from "@/shell/session";

import { Autosave } from "./autosave";
import { type Draft, drafts, isSameJson } from "./drafts";
import { localCopies } from "./local-copies";
import { createEditorStore, type EditorState, type EditorStore } from "./store";

export interface Editor {
  store: EditorStore;
  autosave: Autosave;
}

const Context = createContext<Editor | null>(null);
/** Who looks without a session has nothing of his own to keep. */
const NOBODY = { tenant: "", person: "" };
const LOOK_EVERY_MS = 10_000;

interface Props {
  workflow: string;
  children: ReactNode;
  renderLoading: () => ReactNode;
  renderError: (error: ApiError, retry: () => void) => ReactNode;
}

/** The editor of one workflow. Give it `key={workflow}`: another workflow is another editor. */
export function EditorProvider({ workflow, children, renderLoading, renderError }: Props) {
  const { me, isLoading, may } = useSession();
  const { data, error, isFetchedAfterMount, refetch } = useQuery({
    queryKey: ["workflow-draft", workflow],
    queryFn: () => drafts.read(workflow),
    gcTime: 0,
    staleTime: Infinity,
    refetchOnMount: "always",
    refetchOnReconnect: false,
  });
  if (error !== null && data === undefined) return renderError(asApiError(error), () => void refetch());
  if (data === undefined || !isFetchedAfterMount || isLoading) return renderLoading();
  return (
    <Opened draft={data} me={me} mayWrite={may("workflows.write")}>
      {children}
    </Opened>
  );
}

interface OpenedProps {
  draft: Draft;
  me: Me | null;
  mayWrite: boolean;
  children: ReactNode;
}

function Opened({ draft, me, mayWrite, children }: OpenedProps) {
  const [editor] = useState(() => opened(draft, me, mayWrite));
  useEffect(() => watched(editor), [editor]);
  return <Context.Provider value={editor}>{children}</Context.Provider>;
}

function opened(draft: Draft, me: Me | null, mayWrite: boolean): Editor {
  const owner = me === null ? NOBODY : { tenant: me.tenant ?? "", person: me.user?.id ?? me.key_id };
  const copies = localCopies({ ...owner, workflow: draft.name }, window.localStorage);
  const isReadOnly = !mayWrite || draft.managed_by !== "api";
  const copy = isReadOnly ? null : copies.read();
  const isWorthIt = copy !== null && !isSameJson(copy.document, draft.workflow);
  const store = createEditorStore(draft, { isReadOnly, restorable: isWorthIt ? copy : null });
  return { store, autosave: new Autosave(store, drafts, copies) };
}

/** Saves, and looks for others' changes every ten seconds while the page is seen, and whenever it comes to the front. */
function watched({ autosave }: Editor): () => void {
  autosave.start();
  const look = () => void autosave.look();
  const seen = () => {
    if (document.visibilityState === "visible") look();
    else {
      autosave.keep();
      void autosave.flush().catch(() => undefined);
    }
  };
  const online = () => {
    autosave.retry();
  };
  const leave = () => {
    autosave.keep();
  };
  const stopWriting = beforeOwnerLeaves(() => autosave.flush());
  const timer = setInterval(() => {
    if (document.visibilityState === "visible") look();
  }, LOOK_EVERY_MS);
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("focus", look);
  window.addEventListener("online", online);
  window.addEventListener("pagehide", leave);
  return () => {
    clearInterval(timer);
    stopWriting();
    document.removeEventListener("visibilitychange", seen);
    window.removeEventListener("focus", look);
    window.removeEventListener("online", online);
    window.removeEventListener("pagehide", leave);
    autosave.stop();
  };
}

export function useEditorContext(): Editor {
  const editor = useContext(Context);
  if (editor === null) throw new Error("outside of an EditorProvider");
  return editor;
}

export function useEditorStore(): EditorStore {
  return useEditorContext().store;
}

/** A part of the editor's state; `select` must give the same object while nothing of it changes. */
export function useEditor<T>(select: (state: EditorState) => T): T {
  return useStore(useEditorStore(), select);
}

export function useAutosave(): Autosave {
  return useEditorContext().autosave;
}
