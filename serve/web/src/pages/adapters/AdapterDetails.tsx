/** One adapter: what was found in its files, its versions, and what its owner may do with it. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import type { Adapter, Card, Schemas } from "@/api/types";
import { Answered } from "@/pages/frame/Answered";
import { Confirm } from "@/pages/frame/Confirm";
import { Facts } from "@/pages/frame/PageFrame";
import { type Column, Table } from "@/ui/table";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { ago, bytes, count } from "@/ui/quantities";
import { toast } from "@/ui/toast";
import { Chip, StateWord } from "@/ui/words";

import { TryIt } from "./AdaptersPage";
import { EditAdapter } from "./EditAdapter";
import { deleteAdapter, placeOfAddress, useAdapter } from "./queries";

const WORDS = strings.adapters;

interface AdapterDetailsProps {
  /** Of the adapter that is shown. */
  address: string | null;
  bases: Card[];
  onClose: () => void;
}

export function AdapterDetails({ address, bases, onClose }: AdapterDetailsProps) {
  return (
    <Dialog open={address !== null} onClose={onClose} title={address ?? ""} className="max-w-2xl">
      {address !== null && <Details address={address} bases={bases} onClose={onClose} />}
    </Dialog>
  );
}

function Details({ address, bases, onClose }: { address: string; bases: Card[]; onClose: () => void }) {
  const { me } = useSession();
  const found = useAdapter(placeOfAddress(address, me?.tenant ?? ""));
  return (
    <Answered query={found}>
      {(whole) => (
        <div className="flex flex-col gap-4">
          <Acts adapter={whole} bases={bases} onClose={onClose} />
          {whole.description && <p className="max-w-[72ch] whitespace-pre-wrap">{whole.description}</p>}
          <div className="flex flex-wrap gap-1">
            {whole.trigger_words.map((word) => (
              <Chip key={word}>{word}</Chip>
            ))}
          </div>
          <Facts facts={factsOf(whole)} />
          <div>
            <h3 className="font-semibold">{WORDS.versions}</h3>
            <p className="text-sm text-muted">{WORDS.versionsText}</p>
            <Table
              label={WORDS.versions}
              columns={versionColumns(whole.digest)}
              rows={whole.versions}
              keyOf={({ id }) => id}
            />
          </div>
        </div>
      )}
    </Answered>
  );
}

function factsOf(adapter: Adapter): [string, React.ReactNode][] {
  const names = WORDS.facts;
  return [
    [names.address, <code key="address" className="font-mono">{`:${adapter.address}`}</code>],
    [names.base, adapter.base ?? WORDS.anyBaseThatFits],
    [names.architecture, WORDS.architectures[adapter.architecture]],
    [names.format, WORDS.formats[adapter.format]],
    [names.kinds, adapter.kinds.join(", ")],
    [names.rank, String(adapter.rank)],
    [names.modules, count(adapter.num_modules)],
    [names.parameters, count(adapter.num_parameters)],
    [names.trainedOn, adapter.trained_on],
    [names.size, bytes(adapter.num_bytes)],
    [names.scale, String(adapter.default_scale)],
    [names.managedBy, adapter.managed_by],
  ];
}

function versionColumns(present: string): Column<Schemas["AdapterVersionView"]>[] {
  return [
    {
      key: "digest",
      title: WORDS.versionColumns.digest,
      className: "w-full",
      cell: ({ digest }) => <code className="font-mono text-sm">{digest.slice(0, 19)}</code>,
    },
    {
      key: "state",
      title: WORDS.versionColumns.state,
      cell: ({ digest }) => digest === present && <StateWord tone="ok">{WORDS.present}</StateWord>,
    },
    {
      key: "size",
      title: WORDS.versionColumns.size,
      isNumber: true,
      className: "whitespace-nowrap",
      cell: ({ num_bytes }) => bytes(num_bytes),
    },
    {
      key: "made",
      title: WORDS.versionColumns.made,
      className: "whitespace-nowrap text-muted",
      cell: ({ created_at }) => ago(created_at),
    },
  ];
}

function Acts({ adapter, bases, onClose }: { adapter: Adapter; bases: Card[]; onClose: () => void }) {
  const { me, may, isAdministrator } = useSession();
  const queries = useQueryClient();
  const [asking, setAsking] = useState<"edit" | "delete" | null>(null);
  const isOwn = adapter.tenant === me?.tenant;
  const mayChange = may("adapters.write") && (isOwn || isAdministrator);
  const path = `/v1/adapters/${encodeURIComponent(adapter.tenant)}/${encodeURIComponent(adapter.name)}/content`;
  const close = () => {
    setAsking(null);
  };
  const changed = () => queries.invalidateQueries({ queryKey: ["adapters"] });
  return (
    <div className="flex flex-wrap gap-2">
      <TryIt adapter={adapter} bases={bases} />
      <Button asChild>
        <a href={path} download>
          {WORDS.download}
        </a>
      </Button>
      {mayChange && (
        <>
          <Button
            onClick={() => {
              setAsking("edit");
            }}
          >
            {WORDS.edit}
          </Button>
          <Button
            kind="danger"
            onClick={() => {
              setAsking("delete");
            }}
          >
            {WORDS.delete}
          </Button>
        </>
      )}
      <EditAdapter adapter={adapter} open={asking === "edit"} onClose={close} onDone={changed} />
      <Confirm
        open={asking === "delete"}
        onClose={close}
        title={WORDS.deleteTitle(adapter.address)}
        act={WORDS.delete}
        run={() => deleteAdapter(adapter)}
        onDone={() => {
          toast(WORDS.deleted(adapter.address), "ok");
          onClose();
          void changed();
        }}
      >
        <Breaks adapter={adapter} />
      </Confirm>
    </div>
  );
}

/** What no longer works when it is gone. */
function Breaks({ adapter }: { adapter: Adapter }) {
  const readers = adapter.shared_with;
  return (
    <>
      <p>{WORDS.deleteText}</p>
      <ul className="flex list-disc flex-col gap-1 pl-5 text-muted">
        {readers.includes("*") && <li>{WORDS.deleteSharedAll}</li>}
        {readers.length > 0 && !readers.includes("*") && <li>{WORDS.deleteShared(readers.length)}</li>}
        <li>{WORDS.deleteWorkflows}</li>
        <li>{WORDS.deleteKeeps}</li>
      </ul>
    </>
  );
}
