/** The inputs of the workflow, or its outputs, each with its words; put in order and taken away by buttons. */
import { ArrowDown, ArrowUp, ChevronRight, X } from "lucide-react";
import { type ReactNode, useRef } from "react";
import { flushSync } from "react-dom";

import type { Edit } from "@/editor/core/types";
import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { TextArea, TextField } from "@/ui/fields";
import { PortGlyph } from "@/ui/port-glyph";

import { edit } from "./commands";
import { NamedField } from "./NamedField";
import { say } from "./view";

const words = strings.editor.canvas;

interface Named {
  name: string;
  title?: string;
  description?: string;
}

/** The edits of one side of the interface. */
export interface Side {
  of: "input" | "output";
  move: (name: string, index: number) => Edit;
  remove: (name: string) => Edit;
  set: (name: string, patch: Pick<Named, "title" | "description">) => Edit;
}

type Act = "up" | "down" | "remove";

interface InterfaceListProps<T extends Named> {
  side: Side;
  heading: string;
  /** How to mark a first one. */
  empty: string;
  items: readonly T[];
  typeOf: (item: T) => string;
  renderMore: (item: T) => ReactNode;
}

export function InterfaceList<T extends Named>(props: InterfaceListProps<T>) {
  const { side, heading, empty, items, typeOf, renderMore } = props;
  const section = useRef<HTMLElement>(null);
  const act = (index: number, what: Act) => {
    const name = items[index]?.name ?? "";
    const to = what === "up" ? index - 1 : what === "down" ? index + 1 : Math.min(index, items.length - 2);
    // Drawn at once, so that the button that gets the focus is read by its new name.
    flushSync(() => {
      if (what === "remove") edit(side.remove(name), words.edits.unexpose);
      else edit(side.move(name, to), words.edits.order);
    });
    say(what === "remove" ? words.said.unexposed[side.of](name) : words.said.ordered(name, to + 1, items.length));
    focusAct(section.current, to, what);
  };
  return (
    <section ref={section} className="flex flex-col gap-2 border-t border-line pt-3">
      <h3 tabIndex={-1} className="text-sm font-semibold">
        {heading}
      </h3>
      {items.length === 0 && <p className="text-sm text-faint">{empty}</p>}
      {items.length > 0 && (
        <ol className="flex flex-col gap-2">
          {/* By place: a name changes while it is written, and the focus goes with what is moved. */}
          {items.map((item, index) => (
            <li key={index} className="rounded-md border border-line p-2">
              <Item side={side} item={item} type={typeOf(item)} more={renderMore(item)}>
                <Acts
                  name={item.name}
                  isFirst={index === 0}
                  isLast={index === items.length - 1}
                  onAct={(what) => {
                    act(index, what);
                  }}
                />
              </Item>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

/** The same button of the item that is at `index` now, or one that can be pressed there; without any item, the heading. */
function focusAct(section: HTMLElement | null, index: number, what: Act): void {
  const item = section?.querySelectorAll("li")[index];
  const buttons = [...(item?.querySelectorAll<HTMLButtonElement>("button[data-act]:enabled") ?? [])];
  (buttons.find((one) => one.dataset["act"] === what) ?? buttons[0] ?? section?.querySelector("h3"))?.focus();
}

interface ItemProps {
  side: Side;
  item: Named;
  type: string;
  more: ReactNode;
  children: ReactNode;
}

function Item({ side, item, type, more, children }: ItemProps) {
  const { name, title = "", description = "" } = item;
  const told = words.inspector.interface;
  return (
    <div role="group" aria-label={told[side.of](name)} className="flex flex-col gap-2">
      <div className="flex items-start gap-1">
        <span className="grid h-7 shrink-0 place-items-center pr-1">
          <PortGlyph type={type} />
        </span>
        <div className="min-w-0 flex-1">
          <NamedField side={side.of} label={told.name[side.of]} name={name} />
        </div>
        {children}
      </div>
      <TextField
        label={told.title}
        value={title}
        maxLength={120}
        onChange={(event) => {
          edit(side.set(name, { title: event.target.value }), words.edits.title, `${side.of}:${name}:title`);
        }}
      />
      {more}
      <details key={name} className="group">
        <summary className="flex h-7 cursor-pointer list-none items-center gap-1 text-sm text-muted hover:text-fg">
          <ChevronRight size={14} aria-hidden className="transition-transform group-open:rotate-90" />
          {told.description}
        </summary>
        <TextArea
          label={told.description}
          isLabelHidden
          value={description}
          maxLength={2000}
          onChange={(event) => {
            const change = side.set(name, { description: event.target.value });
            edit(change, words.edits.description, `${side.of}:${name}:description`);
          }}
        />
      </details>
    </div>
  );
}

interface ActsProps {
  name: string;
  isFirst: boolean;
  isLast: boolean;
  onAct: (what: Act) => void;
}

function Acts({ name, isFirst, isLast, onAct }: ActsProps) {
  const told = words.inspector.interface;
  const acts = [
    { what: "up", icon: ArrowUp, isDisabled: isFirst },
    { what: "down", icon: ArrowDown, isDisabled: isLast },
    { what: "remove", icon: X, isDisabled: false },
  ] as const;
  return (
    <span className="-mr-1 flex shrink-0">
      {acts.map(({ what, icon: Icon, isDisabled }) => (
        <IconButton
          key={what}
          data-act={what}
          label={told[what](name)}
          disabled={isDisabled}
          onClick={() => {
            onAct(what);
          }}
        >
          <Icon size={13} aria-hidden />
        </IconButton>
      ))}
    </span>
  );
}
