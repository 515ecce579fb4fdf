/** A node of the outline: its name, its links in words, and what can be done with it. */
import { Link2, MoreHorizontal, Trash2, Unlink } from "lucide-react";
import { memo } from "react";

import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";

import { disconnectLinks, isReadOnly, nudge, removeNamed, select } from "./commands";
import { openPorts } from "./connecting";
import {
  portsAt,
  titleOfNode,
  titleOfPort,
  useIsSelected,
  useLinksAt,
  useNode,
  useNodeProblems,
  useTypeOf,
} from "./graph";
import { openNodeMenu } from "./menus";
import { show } from "./viewport";

const words = strings.editor.canvas;
const STEPS: Record<string, [number, number]> = {
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
};

interface OutlineItemProps {
  name: string;
  /** Goes to the node before (-1) or after (1). */
  onStep: (step: number) => void;
}

export const OutlineItem = memo(function OutlineItem({ name, onStep }: OutlineItemProps) {
  const node = useNode(name);
  const type = useTypeOf(name);
  const problems = useNodeProblems(name);
  const isSelected = useIsSelected(name);
  if (node === undefined) return null;
  const title = titleOfNode(name);
  const keys = (event: React.KeyboardEvent) => {
    const step = STEPS[event.key];
    if (step && event.altKey) nudge(name, step[0], step[1]);
    else if (step && step[1] !== 0) onStep(step[1]);
    else if (event.key === "Delete" || event.key === "Backspace") removeNamed([name]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <li className={classes("rounded-sm border p-2", isSelected ? "border-accent" : "border-line")}>
      <div className="flex items-center gap-1">
        <button
          type="button"
          data-outline
          aria-pressed={isSelected}
          className="min-w-0 flex-1 text-left"
          onKeyDown={keys}
          onClick={() => {
            select([name]);
            show([name]);
          }}
        >
          <span className="block truncate font-medium">{title}</span>
          <span className="block truncate text-sm text-faint">
            {type?.title ?? node.type}
            {(node.map ?? []).length > 0 && ` · ${words.outline.mapped}`}
            {problems.length > 0 && <span className="text-bad"> · {words.outline.problems(problems.length)}</span>}
          </span>
        </button>
        {!isReadOnly() && <Acts name={name} title={title} />}
      </div>
      <Links name={name} />
    </li>
  );
});

function Acts({ name, title }: { name: string; title: string }) {
  const under = (target: Element) => {
    const { left, bottom } = target.getBoundingClientRect();
    return { x: left, y: bottom + 4 };
  };
  return (
    <>
      <IconButton
        label={words.outline.connect(title)}
        onClick={(event) => {
          openPorts(words.outline.connect(title), portsAt(name), under(event.currentTarget));
        }}
      >
        <Link2 size={14} aria-hidden />
      </IconButton>
      <IconButton
        label={words.acts.more(title)}
        onClick={(event) => {
          openNodeMenu(name, under(event.currentTarget));
        }}
      >
        <MoreHorizontal size={14} aria-hidden />
      </IconButton>
      <IconButton
        label={words.outline.remove(title)}
        onClick={() => {
          removeNamed([name]);
        }}
      >
        <Trash2 size={14} aria-hidden />
      </IconButton>
    </>
  );
}

function Links({ name }: { name: string }) {
  const { into, from } = useLinksAt(name);
  if (into.length + from.length === 0) return <p className="text-sm text-faint">{words.outline.noLinks}</p>;
  return (
    <ul className="pt-1 text-sm text-muted">
      {into.map(({ id, source, target }) => {
        const told = words.outline.takes(
          titleOfPort(name, target.port, "input"),
          titleOfNode(source.node),
          titleOfPort(source.node, source.port, "output"),
        );
        return (
          <li key={id} className="flex items-center gap-1">
            <span className="min-w-0 flex-1">{told}</span>
            {!isReadOnly() && (
              <IconButton
                label={words.outline.disconnect(told)}
                onClick={() => {
                  disconnectLinks([id]);
                }}
              >
                <Unlink size={12} aria-hidden />
              </IconButton>
            )}
          </li>
        );
      })}
      {from.map(({ id, source, target }) => (
        <li key={id}>
          {words.outline.gives(
            titleOfPort(name, source.port, "output"),
            titleOfNode(target.node),
            titleOfPort(target.node, target.port, "input"),
          )}
        </li>
      ))}
    </ul>
  );
}
