/** Search to add: every node type by category, with the states of models; filtered by type where a link was dropped. */
import { Command } from "cmdk";
import { useMemo } from "react";

import { useCatalogue } from "@/api/queries";
import type { Schemas } from "@/api/types";
import type { NodeType } from "@/editor/node-types";
import { strings } from "@/strings";
import { Dialog } from "@/ui/dialog";
import { PortGlyph } from "@/ui/port-glyph";
import { StateWord, type Tone } from "@/ui/words";

import { addFromPalette, addNoteAt } from "./adding";
import { candidatesFor, typeOfPort } from "./graph";
import { type Adding, useCanvasView } from "./view";
import { useTypes } from "./opened";

const words = strings.editor.canvas.add;

const TONES: Record<Schemas["ModelState"], Tone> = { ready: "ok", loading: "info", at_zero: "plain", failed: "bad" };

/** By name; nothing while it is on its way or where it may not be read: the palette works without. */
function useModelStates(): ReadonlyMap<string, Schemas["ModelState"]> {
  const { data } = useCatalogue();
  return useMemo(() => new Map(data?.map((card) => [card.name, card.state])), [data]);
}

export function Palette() {
  const adding = useCanvasView((view) => view.adding);
  const close = () => {
    useCanvasView.getState().set({ adding: null });
  };
  return (
    <Dialog open={adding !== null} onClose={close} title={titleOf(adding)} className="mt-[12dvh] max-w-2xl">
      {adding && <Choices adding={adding} close={close} />}
    </Dialog>
  );
}

function titleOf(adding: Adding | null): string {
  if (!adding?.join) return words.title;
  return words.joinTitle(adding.join.port, typeOfPort(adding.join));
}

function Choices({ adding, close }: { adding: Adding; close: () => void }) {
  const types = useTypes();
  const states = useModelStates();
  const { join } = adding;
  const groups = useMemo(() => byCategory(join ? candidatesFor(join) : types), [join, types]);
  return (
    <Command label={words.search} filter={rank} loop className="flex flex-col gap-2">
      <Command.Input
        autoFocus
        placeholder={words.placeholder}
        aria-label={words.search}
        className="h-9 w-full rounded-sm border border-line-strong bg-bg px-3 text-fg"
      />
      <Command.List label={words.title} className="max-h-[50dvh] overflow-y-auto">
        <Command.Empty className="py-6 text-center text-muted">
          {groups.length ? words.nothing : words.nothingFits}
        </Command.Empty>
        {groups.map(([category, inside]) => (
          <Command.Group
            key={category}
            heading={category}
            className="[&_[cmdk-group-heading]]:px-2 [&_[cmdk-group-heading]]:pt-2 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-faint"
          >
            {inside.map((type) => (
              <Choice
                key={`${type.type}:${type.task ?? ""}`}
                type={type}
                state={states.get(type.type.replace(/^model:/, ""))}
                pick={() => {
                  close();
                  addFromPalette(type, adding);
                }}
              />
            ))}
          </Command.Group>
        ))}
        {!join && (
          <Command.Item
            value={words.note}
            keywords={[words.noteText]}
            className={ITEM}
            onSelect={() => {
              close();
              addNoteAt(adding.at);
            }}
          >
            <span className="min-w-0 flex-1 truncate font-medium">{words.note}</span>
            <span className="truncate text-sm text-faint">{words.noteText}</span>
          </Command.Item>
        )}
      </Command.List>
    </Command>
  );
}

const ITEM = "flex h-8 cursor-pointer items-center gap-2 rounded-sm px-2 data-[selected=true]:bg-raised";

interface ChoiceProps {
  type: NodeType;
  state: Schemas["ModelState"] | undefined;
  pick: () => void;
}

function Choice({ type, state, pick }: ChoiceProps) {
  const gives = type.outputs[0]?.type;
  return (
    <Command.Item
      value={`${type.title} · ${type.type} · ${type.task ?? ""}`}
      keywords={[[...type.tags, type.category].join(" "), type.description]}
      onSelect={pick}
      className={ITEM}
    >
      <span className="shrink-0">
        <PortGlyph type={gives ?? "json"} />
      </span>
      <span className="shrink-0 truncate font-medium">{type.title}</span>
      <span className="min-w-0 flex-1 truncate text-sm text-muted">{type.description}</span>
      {state && <StateWord tone={TONES[state]}>{words.states[state]}</StateWord>}
      <code className="max-w-40 truncate font-mono text-xs text-muted">{type.type}</code>
    </Command.Item>
  );
}

/** Every word must be somewhere; in the name it counts most, in the description least. */
function rank(value: string, search: string, [tags = "", description = ""]: string[] = []): number {
  const places: [string, number][] = [
    [value, 1],
    [tags, 0.5],
    [description, 0.2],
  ];
  const scores = search
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const found = places.find(([text]) => text.toLowerCase().includes(word));
      return found === undefined ? 0 : found[1] - (found[0].toLowerCase().startsWith(word) ? 0 : 0.1);
    });
  return Math.max(0, Math.min(1, ...scores));
}

function byCategory(types: readonly NodeType[]): [string, NodeType[]][] {
  const groups = new Map<string, NodeType[]>();
  for (const type of types) groups.set(type.category, [...(groups.get(type.category) ?? []), type]);
  return [...groups];
}
