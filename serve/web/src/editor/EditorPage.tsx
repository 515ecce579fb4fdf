/** One workflow: its bar (Canvas, App, API, Versions, Runs; each an address), and the tab that is open. */
import { lazy, Suspense } from "react";
import { Redirect, useLocation, useParams } from "wouter";

import { type ApiError, asApiError } from "@/api/errors";
import { useNodeTypes } from "@/editor/node-types";
import { DropToImport } from "@/pages/workflows/DropToImport";
import { RequireSession } from "@/shell/RequireSession";
import { nameIn } from "@/shell/places";
import { usePageTitle } from "@/shell/usePageTitle";
import { Waiting } from "@/shell/Waiting";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { EmptyState, ErrorState } from "@/ui/states";
import { useMedia } from "@/ui/useMedia";

import { useCanvasDraft } from "./canvas-draft";
import { EditorBar, isTab, type TabName } from "./EditorBar";
import { EditorProvider, useEditorStore } from "./EditorStore";
import { Notices } from "./Notices";
import type { CanvasDraft } from "./run/draft";
import { usePastRun } from "./run/usePastRun";
import { useRunOf } from "./run/useWorkflowRun";

const words = strings.editor.canvas.page;

const EditorCanvas = lazy(() => import("./canvas/EditorCanvas"));
const AppTab = lazy(() => import("./tabs/AppTab"));
const ApiTab = lazy(() => import("./tabs/ApiTab"));
const VersionsTab = lazy(() => import("./tabs/VersionsTab"));
const RunsTab = lazy(() => import("./tabs/RunsTab"));

const NARROW = "(max-width: 600px)";

export default function EditorPage() {
  const { id = "", tab } = useParams<{ id: string; tab?: string }>();
  const isNarrow = useMedia(NARROW);
  const workflow = nameIn(id);
  // On a narrow screen the form comes first; the canvas has an address of its own there.
  if (tab === undefined && isNarrow) return <Redirect to={`/w/${id}/app`} replace />;
  return (
    <RequireSession title={strings.shell.titles.workflow}>
      <EditorProvider
        key={workflow}
        workflow={workflow}
        renderLoading={() => <Waiting />}
        renderError={(error, retry) => <Refused error={error} retry={retry} />}
      >
        <Opened workflow={workflow} tab={isTab(tab) ? tab : "canvas"} isNarrow={isNarrow} />
      </EditorProvider>
    </RequireSession>
  );
}

function Refused({ error, retry }: { error: ApiError; retry: () => void }) {
  const [, navigate] = useLocation();
  const back = (
    <Button
      onClick={() => {
        navigate("/w");
      }}
    >
      {words.back}
    </Button>
  );
  if (error.status === 404) return <EmptyState title={words.notFound} text={error.message} action={back} />;
  if (error.status === 401 || error.status === 403)
    return <EmptyState title={words.notAllowed} text={error.message} action={back} />;
  return <ErrorState error={error} retry={retry} />;
}

interface OpenedProps {
  workflow: string;
  tab: TabName;
  isNarrow: boolean;
}

function Opened({ workflow, tab, isNarrow }: OpenedProps) {
  useRunOf(workflow);
  const draft = useCanvasDraft(workflow);
  const title = draft.document.title || workflow;
  usePageTitle(title);
  return (
    <div className="flex h-full flex-col">
      <EditorBar workflow={workflow} tab={tab} draft={draft} />
      <Notices />
      <div className={tab === "canvas" ? "min-h-0 flex-1" : "min-h-0 flex-1 overflow-auto"}>
        <Suspense fallback={<Waiting />}>
          <OpenTab tab={tab} draft={draft} isNarrow={isNarrow} />
        </Suspense>
      </div>
    </div>
  );
}

function OpenTab({ tab, draft, isNarrow }: { tab: TabName; draft: CanvasDraft; isNarrow: boolean }) {
  if (tab === "app") return <AppTab draft={draft} />;
  if (tab === "api") return <ApiTab draft={draft} />;
  if (tab === "versions") return <VersionsTab draft={draft} />;
  if (tab === "runs") return <RunsTab draft={draft} />;
  return <CanvasTab draft={draft} isNarrow={isNarrow} />;
}

function CanvasTab({ draft, isNarrow }: { draft: CanvasDraft; isNarrow: boolean }) {
  const store = useEditorStore();
  usePastRun();
  const { data, error, refetch } = useNodeTypes();
  const failed = error === null ? null : asApiError(error);
  if (data === undefined) return failed ? <ErrorState error={failed} retry={() => void refetch()} /> : <Waiting />;
  return (
    <DropToImport>
      <EditorCanvas store={store} types={data} draft={draft} isNarrow={isNarrow} />
    </DropToImport>
  );
}
