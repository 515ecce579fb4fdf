/** Names for versions: set, moved back, taken away. What callers get changes with their next call. */
import { Undo2, X } from "lucide-react";
import { type FormEvent, useState } from "react";

import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import { useSession } from "@/shell/session";
import { useWho } from "@/shell/useWho";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { Select, TextField } from "@/ui/fields";
import { ago } from "@/ui/quantities";
import { Skeleton } from "@/ui/states";
import { toast } from "@/ui/toast";

import { type Alias, useAliases, useRefreshWorkflow } from "./useVersions";

const words = strings.versions;

export function Aliases({ workflow, versions }: { workflow: string; versions: number[] }) {
  const { data, error, isPending } = useAliases(workflow);
  const { may } = useSession();
  return (
    <section className="flex flex-col gap-3" aria-labelledby="aliases">
      <h2 id="aliases" className="text-lg font-semibold">
        {words.aliases}
      </h2>
      <p className="text-sm text-muted">{words.aliasesText}</p>
      {isPending && <Skeleton className="h-12 w-full" />}
      {error && <p className="text-bad">{asApiError(error).message}</p>}
      {data?.length === 0 && <p className="text-faint">{words.noAliases}</p>}
      <ul>
        {data?.map((alias) => (
          <AliasRow key={alias.alias} workflow={workflow} alias={alias} mayWrite={may("workflows.write")} />
        ))}
      </ul>
      {may("workflows.write") && versions.length > 0 && <NewAlias workflow={workflow} versions={versions} />}
    </section>
  );
}

function useAct(workflow: string) {
  const refresh = useRefreshWorkflow(workflow);
  return async (act: () => Promise<string>) => {
    try {
      toast(await act(), "ok");
      await refresh();
    } catch (thrown) {
      toast(asApiError(thrown).message, "bad");
    }
  };
}

function AliasRow({ workflow, alias, mayWrite }: { workflow: string; alias: Alias; mayWrite: boolean }) {
  const who = useWho();
  const act = useAct(workflow);
  const path = { name: workflow, alias: alias.alias };
  const rollBack = async () => {
    const answer = api.POST("/v1/workflows/{name}/aliases/{alias}/rollback", {
      params: { path },
      body: { current: alias.version },
    });
    const { version } = await unwrap(answer);
    return words.rolledBack(alias.alias, version);
  };
  const remove = async () => {
    await unwrap(api.DELETE("/v1/workflows/{name}/aliases/{alias}", { params: { path } }));
    return words.aliasRemoved(alias.alias);
  };
  return (
    <li className="flex items-center gap-2 border-t border-line py-1.5">
      <div className="min-w-0 flex-1">
        <span className="font-mono">{alias.alias}</span> <span>{words.version(alias.version)}</span>
        <p className="text-sm text-muted">
          {ago(alias.updated_at)}, {words.by(who(alias.updated_by))}
          {alias.previous !== null && `, ${words.previous(alias.previous)}`}
        </p>
      </div>
      {mayWrite && alias.previous !== null && (
        <IconButton label={`${words.rollback}: ${alias.alias}`} onClick={() => void act(rollBack)}>
          <Undo2 size={14} aria-hidden />
        </IconButton>
      )}
      {mayWrite && (
        <IconButton label={`${words.remove}: ${alias.alias}`} onClick={() => void act(remove)}>
          <X size={14} aria-hidden />
        </IconButton>
      )}
    </li>
  );
}

function NewAlias({ workflow, versions }: { workflow: string; versions: number[] }) {
  const [alias, setAlias] = useState("");
  const [chosen, choose] = useState<number | null>(null);
  const act = useAct(workflow);
  const version = chosen ?? versions[0] ?? 1;
  const set = (event: FormEvent) => {
    event.preventDefault();
    void act(async () => {
      const path = { name: workflow, alias: alias.trim() };
      await unwrap(api.PUT("/v1/workflows/{name}/aliases/{alias}", { params: { path }, body: { version } }));
      setAlias("");
      return words.aliasSet(alias.trim(), version);
    });
  };
  return (
    <form onSubmit={set} className="grid grid-cols-[1fr_auto_auto] items-end gap-2">
      <TextField
        label={words.aliasName}
        value={alias}
        maxLength={40}
        autoComplete="off"
        onChange={(event) => {
          setAlias(event.target.value);
        }}
      />
      <Select
        label={words.aliasVersion}
        value={String(version)}
        options={versions.map((one) => ({ value: String(one), label: words.version(one) }))}
        onChange={(event) => {
          choose(Number(event.target.value));
        }}
      />
      <Button type="submit" disabled={alias.trim() === ""}>
        {words.setAlias}
      </Button>
    </form>
  );
}
