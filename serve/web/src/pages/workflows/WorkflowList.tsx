/** The tenant's own workflows, by name. */
import { MoreHorizontal } from "lucide-react";
import { useState } from "react";
import { Link, useLocation } from "wouter";

import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import type { Workflow } from "@/api/types";
import { useRefreshWorkflow } from "@/editor/tabs/useVersions";
import { useWho } from "@/shell/useWho";
import { Confirm } from "@/pages/frame/Confirm";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { Menu } from "@/ui/menu";
import { ago } from "@/ui/quantities";
import { EmptyState, ErrorState, Skeleton } from "@/ui/states";
import { toast } from "@/ui/toast";
import { Chip, StateWord } from "@/ui/words";

import { useWorkflows } from "./library";

const words = strings.workflows;

export function WorkflowList({ text, mayWrite }: { text: string; mayWrite: boolean }) {
  const [removing, setRemoving] = useState<string | null>(null);
  const { data, error, isPending, hasNextPage, fetchNextPage } = useWorkflows(text);
  const found = data?.pages.flatMap((page) => page.data) ?? [];
  if (error && data === undefined) return <ErrorState error={asApiError(error)} />;
  if (isPending) return <Skeleton className="h-40 w-full" />;
  if (found.length === 0)
    return text === "" ? (
      <EmptyState title={words.empty.title} text={words.empty.text} />
    ) : (
      <p className="py-6 text-muted">{words.noMatch}</p>
    );
  const { columns } = words;
  return (
    <>
      <table className="w-full text-left">
        <thead className="text-sm text-muted">
          <tr>
            <th className="py-1 sm:w-1/3 pr-4 font-normal">{columns.name}</th>
            <th className="py-1 pr-4 font-normal">{columns.live}</th>
            <th className="hidden py-1 pr-4 font-normal sm:table-cell">{columns.updated}</th>
            <th className="hidden py-1 pr-4 font-normal md:table-cell">{columns.by}</th>
            <th className="w-8 py-1 font-normal">
              <span className="sr-only">{columns.actions}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {found.map((workflow) => (
            <Row key={workflow.name} workflow={workflow} mayWrite={mayWrite} onRemove={setRemoving} />
          ))}
        </tbody>
      </table>
      {hasNextPage && (
        <Button className="mt-3" onClick={() => void fetchNextPage()}>
          {words.more}
        </Button>
      )}
      {removing !== null && (
        <Remove
          name={removing}
          onClose={() => {
            setRemoving(null);
          }}
        />
      )}
    </>
  );
}

interface RowProps {
  workflow: Workflow;
  mayWrite: boolean;
  onRemove: (name: string) => void;
}

function Row({ workflow, mayWrite, onRemove }: RowProps) {
  const [, go] = useLocation();
  const { name, title, latest, aliases } = workflow;
  const who = useWho();
  const items = [
    {
      label: words.open,
      run: () => {
        go(`/w/${name}`);
      },
    },
    {
      label: words.openApp,
      run: () => {
        go(`/w/${name}/app`);
      },
    },
    ...(mayWrite
      ? [
          null,
          {
            label: words.remove,
            isDanger: true,
            run: () => {
              onRemove(name);
            },
          },
        ]
      : []),
  ];
  return (
    <tr className="border-t border-line align-middle hover:bg-raised">
      <td className="py-2 pr-4">
        <Link href={`/w/${name}`} className="font-medium hover:underline">
          {title || name}
        </Link>
        {title && title !== name && <p className="font-mono text-sm text-muted">{name}</p>}
      </td>
      <td className="py-2 pr-4">
        <span className="flex flex-wrap items-center gap-1.5">
          {latest === null ? (
            <StateWord tone="plain">{words.neverPublished}</StateWord>
          ) : (
            <StateWord tone="ok">{words.version(latest)}</StateWord>
          )}
          {Object.entries(aliases).map(([alias, version]) => (
            <Chip key={alias}>
              {alias} {words.version(version)}
            </Chip>
          ))}
        </span>
      </td>
      <td className="hidden py-2 pr-4 whitespace-nowrap sm:table-cell">
        <time dateTime={workflow.updated_at}>{ago(workflow.updated_at)}</time>
      </td>
      <td className="hidden max-w-0 truncate py-2 pr-4 text-muted md:table-cell">{who(workflow.updated_by)}</td>
      <td className="py-1.5 text-right">
        <Menu
          trigger={
            <IconButton label={strings.versions.actions(name)}>
              <MoreHorizontal size={16} aria-hidden />
            </IconButton>
          }
          items={items}
        />
      </td>
    </tr>
  );
}

function Remove({ name, onClose }: { name: string; onClose: () => void }) {
  const refresh = useRefreshWorkflow(name);
  const remove = async () => {
    await unwrap(api.DELETE("/v1/workflows/{name}", { params: { path: { name } } }));
    toast(words.removed(name), "ok");
    await refresh();
  };
  return (
    <Confirm open title={words.removeTitle(name)} act={words.remove} run={remove} onClose={onClose}>
      <p>{words.removeText}</p>
    </Confirm>
  );
}
