/** The draft and the versions of a workflow: publish, compare, restore, delete; and the aliases that mean them. */
import { MoreHorizontal } from "lucide-react";
import { useState } from "react";

import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import type { WorkflowSpec } from "@/api/types";
import type { CanvasDraft } from "@/editor/run/draft";
import { Confirm } from "@/pages/frame/Confirm";
import { useSession } from "@/shell/session";
import { useWho } from "@/shell/useWho";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { Menu } from "@/ui/menu";
import { ago } from "@/ui/quantities";
import { EmptyState, ErrorState, Skeleton } from "@/ui/states";
import { toast } from "@/ui/toast";
import { Chip, StateWord } from "@/ui/words";

import { Aliases } from "./Aliases";
import { Compare } from "./Compare";
import { PublishButton } from "./PublishDialog";
import { useDifferences, useRefreshWorkflow, useVersions, useWorkflow, type Version } from "./useVersions";

const words = strings.versions;

type Asked = { act: "restore" | "remove"; version: Version } | { act: "compare"; from: string; to: string } | null;

export default function VersionsTab({ draft }: { draft: CanvasDraft }) {
  const [asked, ask] = useState<Asked>(null);
  const { data, error, isPending, hasNextPage, fetchNextPage } = useVersions(draft.workflow);
  const versions = data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <div className="mx-auto grid w-full max-w-[1200px] gap-x-8 gap-y-6 px-4 py-5 sm:px-6 lg:grid-cols-[1fr_320px]">
      <div className="flex min-w-0 flex-col gap-4">
        <h2 className="sr-only">{words.title}</h2>
        <DraftRow
          draft={draft}
          onCompare={() => {
            ask({ act: "compare", from: "latest", to: "draft" });
          }}
        />
        {error && <ErrorState error={asApiError(error)} />}
        {isPending && <Skeleton className="h-40 w-full" />}
        {data && versions.length === 0 && <EmptyState title={words.empty.title} text={words.empty.text} />}
        {versions.length > 0 && (
          <ul className="flex flex-col">
            {versions.map((version) => (
              <VersionRow key={version.version} version={version} latest={versions[0]?.version ?? 0} ask={ask} />
            ))}
          </ul>
        )}
        {hasNextPage && <Button onClick={() => void fetchNextPage()}>{words.more}</Button>}
      </div>
      <Aliases workflow={draft.workflow} versions={versions.map((one) => one.version)} />
      {asked?.act === "compare" && (
        <Compare
          draft={draft}
          from={asked.from}
          to={asked.to}
          onClose={() => {
            ask(null);
          }}
        />
      )}
      <Question
        draft={draft}
        asked={asked}
        onClose={() => {
          ask(null);
        }}
      />
    </div>
  );
}

function DraftRow({ draft, onCompare }: { draft: CanvasDraft; onCompare: () => void }) {
  const { data: workflow } = useWorkflow(draft.workflow);
  const hasVersion = workflow?.latest != null;
  const { data } = useDifferences(draft.workflow, "latest", "draft", draft.revision, hasVersion);
  const state = !hasVersion ? "never" : data?.differences.length === 0 ? "same" : "changed";
  return (
    <section className="flex flex-wrap items-center justify-between gap-3 rounded-md border border-line bg-surface p-3">
      <div>
        <h2 className="font-semibold">{words.draft}</h2>
        {workflow && (!hasVersion || data) && <p className="text-muted">{words.draftIs[state]}</p>}
      </div>
      <div className="flex gap-2">
        {hasVersion && <Button onClick={onCompare}>{words.compare}</Button>}
        <PublishButton draft={draft} kind={state === "same" ? "secondary" : "primary"} />
      </div>
    </section>
  );
}

interface VersionRowProps {
  version: Version;
  latest: number;
  ask: (asked: Asked) => void;
}

function VersionRow({ version, latest, ask }: VersionRowProps) {
  const who = useWho();
  const { may } = useSession();
  const which = words.version(version.version);
  const number = String(version.version);
  const items = [
    {
      label: words.compare,
      run: () => {
        ask({ act: "compare", from: number, to: "draft" });
      },
    },
    ...(may("workflows.write")
      ? [
          {
            label: words.restore,
            run: () => {
              ask({ act: "restore", version });
            },
          },
          null,
          {
            label: words.remove,
            isDanger: true,
            run: () => {
              ask({ act: "remove", version });
            },
          },
        ]
      : []),
  ];
  return (
    <li className="flex items-start gap-3 border-t border-line py-2.5 first:border-t-0">
      <span className="w-10 shrink-0 font-mono font-medium">{which}</span>
      <div className="flex min-w-0 flex-1 flex-col gap-1">
        <div className="flex flex-wrap items-center gap-2">
          {version.version === latest && <StateWord tone="ok">{words.latest}</StateWord>}
          {version.aliases.map((alias) => (
            <Chip key={alias}>{alias}</Chip>
          ))}
          <span className="text-sm text-muted">
            <time dateTime={version.created_at}>{ago(version.created_at)}</time>, {words.by(who(version.created_by))}
          </span>
        </div>
        {version.note && <p>{version.note}</p>}
      </div>
      <Menu
        trigger={
          <IconButton label={words.actions(which)}>
            <MoreHorizontal size={16} aria-hidden />
          </IconButton>
        }
        items={items}
      />
    </li>
  );
}

function Question({ draft, asked, onClose }: { draft: CanvasDraft; asked: Asked; onClose: () => void }) {
  const refresh = useRefreshWorkflow(draft.workflow);
  if (asked === null || asked.act === "compare") return null;
  const number = String(asked.version.version);
  const which = words.version(number);
  const path = { name: draft.workflow, version: number };
  const restore = async () => {
    const found = await unwrap(api.GET("/v1/workflows/{name}/versions/{version}", { params: { path } }));
    draft.replace(found.workflow as unknown as WorkflowSpec, words.restore);
    toast(words.restored(which), "ok");
  };
  const remove = async () => {
    await unwrap(api.DELETE("/v1/workflows/{name}/versions/{version}", { params: { path } }));
    toast(words.removed(which), "ok");
    await refresh();
  };
  return asked.act === "restore" ? (
    <Confirm
      open
      isDanger={false}
      title={words.restoreTitle(which)}
      act={words.restore}
      run={restore}
      onClose={onClose}
    >
      <p>{words.restoreText}</p>
    </Confirm>
  ) : (
    <Confirm open title={words.removeTitle(which)} act={words.remove} run={remove} onClose={onClose}>
      <p>{words.removeText}</p>
    </Confirm>
  );
}
