/** A model: what it is, and trying it. */
import { type ComponentType, lazy, Suspense, useState } from "react";
import { Link, useParams, useSearchParams } from "wouter";

import { asApiError } from "@/api/errors";
import { useCard } from "@/api/queries";
import type { Card, Task } from "@/api/types";
import { sharedIn } from "@/playground/sharing";
import { nameIn } from "@/shell/places";
import { signInPath } from "@/shell/return-to";
import { usePageTitle } from "@/shell/usePageTitle";
import { Waiting } from "@/shell/Waiting";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { EmptyState, ErrorState } from "@/ui/states";

import { AboutTab } from "./AboutTab";
import { ModelHeader, type ModelTab } from "./ModelHeader";

const ImagePlayground = lazy(async () => ({ default: (await import("./ImagePlayground")).ImagePlayground }));

/** Tasks that speak have playgrounds of their own, with their code beside them. */
const SPEAKING: Partial<Record<Task, ComponentType<{ card: Card; task: Task; showsApi: boolean }>>> = {
  chat: lazy(async () => ({ default: (await import("@/pages/chat/ChatPlayground")).ChatPlayground })),
  completion: lazy(async () => ({ default: (await import("@/pages/chat/CompletionPlayground")).CompletionPlayground })),
  embedding: lazy(async () => ({ default: (await import("@/pages/chat/EmbeddingPlayground")).EmbeddingPlayground })),
};

export default function ModelPage() {
  const { id = "" } = useParams();
  const name = nameIn(id);
  const card = useCard(name);
  if (card.data) return <Model key={name} card={card.data} />;
  if (!card.isError) return <Waiting />;
  const error = asApiError(card.error);
  if (error.status === 404) return <NoModel name={name} />;
  if (error.status !== 401) return <ErrorState error={error} retry={() => void card.refetch()} />;
  return (
    <EmptyState
      title={strings.playground.signInForModel}
      action={
        <Button asChild kind="primary">
          <Link href={signInPath(`/models/${id}`)}>{strings.shell.signIn}</Link>
        </Button>
      }
    />
  );
}

function NoModel({ name }: { name: string }) {
  return (
    <EmptyState
      heading="h1"
      title={strings.playground.noModel(name)}
      text={strings.playground.noModelText}
      action={
        <Button asChild>
          <Link href="/models">{strings.errors.toModels}</Link>
        </Button>
      }
    />
  );
}

function Model({ card }: { card: Card }) {
  usePageTitle(card.title || card.name);
  const [shared] = useState(() => sharedIn(window.location.hash));
  const [search, setSearch] = useSearchParams();
  const asked = search.get("task") as Task | null;
  const isServed = (task: Task | null | undefined): task is Task => task != null && card.tasks.includes(task);
  const task = [asked, shared?.task, card.tasks[0]].find(isServed) ?? "text_to_image";
  const Speaking = SPEAKING[task];
  const tab = (search.get("tab") ?? "playground") as ModelTab;
  const choose = (name: string, value: string) => {
    setSearch((before) => {
      before.set(name, value);
      if (name === "task") before.delete("run");
      return before;
    });
  };
  return (
    <div className="flex min-h-full flex-col lg:h-full">
      <ModelHeader
        card={card}
        task={task}
        tab={tab}
        hasApi
        onTask={(next) => {
          choose("task", next);
        }}
        onTab={(next) => {
          choose("tab", next);
        }}
      />
      {tab === "about" ? (
        <AboutTab card={card} />
      ) : (
        <Suspense fallback={<Waiting />}>
          {Speaking ? (
            <div className="flex min-h-0 flex-1 flex-col">
              <Speaking key={task} card={card} task={task} showsApi={tab === "api"} />
            </div>
          ) : (
            <ImagePlayground key={task} card={card} task={task} shared={shared} showsApi={tab === "api"} />
          )}
        </Suspense>
      )}
    </div>
  );
}
