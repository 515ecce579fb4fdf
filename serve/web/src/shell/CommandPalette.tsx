/** Search over everything one can go to, with the keyboard alone: Ctrl-K, a few letters, Enter. */
import { useQuery } from "@tanstack/react-query";
import { Command } from "cmdk";
import { Search } from "lucide-react";
import { type ReactNode, useState } from "react";
import { useLocation } from "wouter";

import { api, unwrap } from "@/api/client";
import { useAdapterChoices, useCatalogue, useWorkflowChoices } from "@/api/queries";
import { strings } from "@/strings";
import { chooseTheme, type ThemeChoice } from "@/theme/theme";
import { Dialog } from "@/ui/dialog";

import { groupsOf, runOfQuery } from "./palette-entries";
import { morePlaces, PLACES } from "./places";
import { useSession } from "./session";
import { useShellView } from "./shell-view";

const words = strings.shell.palette;
const THEMES: ThemeChoice[] = ["dark", "light", "system"];

export default function CommandPalette() {
  const { over, show } = useShellView();
  const close = () => {
    show(null);
  };
  return (
    <Dialog isBare open={over === "palette"} onClose={close} title={words.title} className="mt-[12dvh] max-w-xl">
      <Choices close={close} />
    </Dialog>
  );
}

/** What there is of the tenant's own; nothing while it is on its way or may not be read: the rest is found all the same. */
function useOwn() {
  const { may } = useSession();
  const enabled = may("read");
  const workflows = useWorkflowChoices({ enabled });
  const adapters = useAdapterChoices({ enabled });
  const runs = useQuery({
    queryKey: ["runs", "palette"],
    queryFn: async () => (await unwrap(api.GET("/v1/runs", { params: { query: { limit: 8 } } }))).data,
    enabled,
    staleTime: 5_000,
  });
  return { workflows: workflows.data, adapters: adapters.data, runs: runs.data };
}

function Choices({ close }: { close: () => void }) {
  const [, navigate] = useLocation();
  const [query, setQuery] = useState("");
  const session = useSession();
  const own = useOwn();
  const { data: models } = useCatalogue();
  const show = useShellView((view) => view.show);
  const go = (path: string) => {
    close();
    navigate(path);
  };
  const run = runOfQuery(query);
  return (
    <Command label={words.title} loop>
      <div className="flex items-center gap-2.5 border-b border-line px-4">
        <Search size={14} aria-hidden className="text-faint" />
        <Command.Input
          autoFocus
          value={query}
          onValueChange={setQuery}
          placeholder={words.placeholder}
          className="h-11 w-full bg-transparent text-lg text-fg outline-none"
        />
      </div>
      <Command.List label={words.title} className="max-h-[56dvh] overflow-y-auto p-1.5">
        <Command.Empty className="py-8 text-center text-muted">{words.nothing}</Command.Empty>
        {run !== null && <Choice value={query} label={words.openRun} aside={query.trim()} pick={() => go(run)} />}
        {groupsOf({ places: [...PLACES, ...morePlaces(session)], models, ...own }).map(({ heading, entries }) => (
          <Choosing key={heading} heading={heading}>
            {entries.map(({ id, label, aside, keywords, path }) => (
              <Choice key={id} value={`${label} ${id}`} {...{ label, aside, keywords }} pick={() => go(path)} />
            ))}
          </Choosing>
        ))}
        <Choosing heading={words.acts}>
          {THEMES.map((theme) => (
            <Choice
              key={theme}
              value={words.theme(theme)}
              label={words.theme(theme)}
              pick={() => {
                chooseTheme(theme);
                close();
              }}
            />
          ))}
          <Choice
            value={strings.shell.keys.title}
            label={strings.shell.keys.title}
            aside="?"
            pick={() => show("keys")}
          />
        </Choosing>
      </Command.List>
    </Command>
  );
}

function Choosing({ heading, children }: { heading: string; children: ReactNode }) {
  return (
    <Command.Group
      heading={heading}
      className="[&_[cmdk-group-heading]]:px-2.5 [&_[cmdk-group-heading]]:pt-2 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-faint"
    >
      {children}
    </Command.Group>
  );
}

interface ChoiceProps {
  value: string;
  label: string;
  aside?: string;
  keywords?: string[];
  pick: () => void;
}

function Choice({ value, label, aside, keywords, pick }: ChoiceProps) {
  return (
    <Command.Item
      value={value}
      keywords={keywords}
      onSelect={pick}
      className="flex h-8 items-center gap-3 rounded-sm px-2.5 data-[selected=true]:bg-raised"
    >
      <span className="truncate">{label}</span>
      {aside !== undefined && <span className="ml-auto truncate font-mono text-sm text-muted">{aside}</span>}
    </Command.Item>
  );
}
