/** An image model's playground: the form, the pictures, the history. */
import { type ReactNode, useEffect, useRef } from "react";
import { useSearchParams } from "wouter";

import { useCard } from "@/api/queries";
import type { Card, Task } from "@/api/types";
import type { Shared } from "@/playground/sharing";
import { usePlayground } from "@/playground/usePlayground";
import { useRunKey } from "@/ui/useRunKey";

import { ApiTab } from "./ApiTab";
import { HistoryPanel } from "./HistoryPanel";
import { ParameterForm } from "./ParameterForm";
import { Pictures } from "./Pictures";
import { RunBar } from "./RunBar";

interface ImagePlaygroundProps {
  card: Card;
  task: Task;
  shared: Shared | null;
  showsApi: boolean;
}

export function ImagePlayground({ card: known, task, shared, showsApi }: ImagePlaygroundProps) {
  const playground = usePlayground(known, task, shared);
  const { run, submit } = playground;
  const card = useCard(known.name, run.isBusy).data ?? known;
  const [search, setSearch] = useSearchParams();
  const pictures = useRef<HTMLDivElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const look = (id: string | null) => {
    setSearch(
      (before) => {
        if (id === null) before.delete("run");
        else before.set("run", id);
        return before;
      },
      { replace: true },
    );
  };
  const start = async () => {
    if (run.isBusy) return;
    const started = await submit();
    if (started === null) {
      focusFault(form.current);
      return;
    }
    look(started.id);
    if (!window.matchMedia("(min-width: 1024px)").matches) pictures.current?.scrollIntoView({ behavior: "smooth" });
  };
  useRunKey(() => void start());
  useRunOfAddress(search.get("run"), playground.run);
  useLinkTaken(shared);

  return (
    <div className="grid min-h-0 flex-1 lg:grid-cols-[320px_1fr_200px] xl:grid-cols-[320px_1fr_240px]">
      <Column className="border-line bg-surface lg:border-r">
        <form
          ref={form}
          className="flex min-h-full flex-col"
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            void start();
          }}
        >
          <ParameterForm card={card} playground={playground} />
          <RunBar playground={playground} />
        </form>
      </Column>
      <div ref={pictures} className="flex min-h-0 min-w-0 flex-col lg:overflow-auto">
        {showsApi ? (
          <ApiTab card={card} task={task} playground={playground} />
        ) : (
          <Pictures card={card} task={task} playground={playground} />
        )}
      </div>
      <Column className="border-line bg-surface lg:border-l">
        <HistoryPanel
          playground={playground}
          shown={run.run?.id ?? null}
          onOpen={(id) => {
            look(id);
            void run.follow(id);
          }}
        />
      </Column>
    </div>
  );
}

/** To the first field that is wrong, once the form says so. */
function focusFault(form: HTMLFormElement | null): void {
  requestAnimationFrame(() => {
    form?.querySelector<HTMLElement>("[aria-invalid='true'], [data-faulty]")?.focus();
  });
}

function Column({ className, children }: { className: string; children: ReactNode }) {
  return <div className={`min-h-0 min-w-0 border-b lg:overflow-auto lg:border-b-0 ${className}`}>{children}</div>;
}

/** A run in the address is taken up again: after a reload, or from a link of one's own. */
function useRunOfAddress(id: string | null, run: { follow: (id: string) => Promise<void> }): void {
  const first = useRef(id);
  const { follow } = run;
  useEffect(() => {
    if (first.current !== null) void follow(first.current);
  }, [follow]);
}

/** The link's parameters are in the form now; the fragment would contradict what is changed there. */
function useLinkTaken(shared: Shared | null): void {
  useEffect(() => {
    if (shared !== null) window.history.replaceState(null, "", window.location.pathname + window.location.search);
  }, [shared]);
}
