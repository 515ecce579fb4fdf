/** Keys as rows, with what each may do. */
import { type Column, Table } from "@/ui/table";
import { limitsInWords } from "@/pages/people/limits";
import { useSession } from "@/shell/session";
import { useWho } from "@/shell/useWho";
import { strings } from "@/strings";
import { ago, moment } from "@/ui/quantities";
import { StateWord } from "@/ui/words";

import { KeyActs } from "./KeyActs";
import { endOf, type Key, stateOf } from "./state";

const WORDS = strings.keys;

interface KeyRowsProps {
  label: string;
  keys: Key[];
  now: number;
  onSecret: (secret: string) => void;
}

export function KeyRows({ label, keys, now, onSecret }: KeyRowsProps) {
  const { me } = useSession();
  const columns: Column<Key>[] = [
    {
      key: "title",
      title: WORDS.columns.title,
      className: "w-1/4 max-sm:w-full",
      cell: (key) => <Title keyView={key} own={me?.key_id} />,
    },
    { key: "project", title: WORDS.columns.project, from: "md", cell: (key) => key.project },
    { key: "may", title: WORDS.columns.may, from: "sm", className: "w-1/3 text-muted max-sm:w-full", cell: May },
    {
      key: "limits",
      title: WORDS.columns.limits,
      from: "lg",
      className: "min-w-36 text-muted",
      cell: ({ limits }) => limitsInWords(limits),
    },
    {
      key: "made",
      title: WORDS.columns.made,
      from: "md",
      className: "whitespace-nowrap text-muted",
      cell: (key) => ago(key.created_at),
    },
    {
      key: "state",
      title: WORDS.columns.state,
      className: "whitespace-nowrap",
      cell: (key) => <State keyView={key} now={now} />,
    },
    {
      key: "actions",
      title: WORDS.columns.actions,
      isTitleHidden: true,
      className: "text-right whitespace-nowrap",
      cell: (key) => <KeyActs keyView={key} now={now} onSecret={onSecret} />,
    },
  ];
  return <Table label={label} columns={columns} rows={keys} keyOf={({ id }) => id} />;
}

function Title({ keyView, own }: { keyView: Key; own: string | undefined }) {
  const who = useWho();
  const { id, title, replaced_by, made_by } = keyView;
  const notes = [
    id === own && WORDS.own,
    made_by !== null && WORDS.madeBy(who(made_by)),
    replaced_by !== null && WORDS.replacedBy(replaced_by),
  ].filter((note) => note !== false);
  return (
    <>
      <p className="font-medium">{title}</p>
      <p className="text-sm text-muted">
        <code className="font-mono">{id}</code>
        {notes.length > 0 && ` · ${notes.join(" · ")}`}
      </p>
    </>
  );
}

function May({ scopes, models }: Key) {
  const allowed = models === null ? WORDS.allModels : models.map(modelInWords).join(", ");
  return (
    <>
      <p>{scopes.map((scope) => WORDS.scopes[scope][0]).join(", ")}</p>
      <p className="text-sm">{allowed}</p>
    </>
  );
}

function modelInWords(entry: string): string {
  return entry.endsWith(":*") ? WORDS.withAdapters(entry.slice(0, -2)) : entry;
}

function State({ keyView: key, now }: { keyView: Key; now: number }) {
  const state = stateOf(key, now);
  if (state !== "live") return <StateWord tone={state === "revoked" ? "bad" : "warn"}>{WORDS[state]}</StateWord>;
  const end = endOf(key);
  return (
    <>
      <StateWord tone="ok">{WORDS.live}</StateWord>
      {end !== null && <p className="text-sm text-muted">{WORDS.ending(moment(end))}</p>}
    </>
  );
}
