/** What a view shows in place of its content: nothing there, on its way, failed, not allowed. */
import { useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";

import type { ApiError } from "@/api/errors";
import { strings } from "@/strings";

import { Button } from "./button";
import { classes } from "./classes";

/** A grey shape of the true size; it does not move, and is invisible for its first 200 ms. */
export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={classes("skeleton rounded-sm bg-line", className)} />;
}

interface EmptyStateProps {
  title: string;
  /** "h1" where it stands for the whole page. */
  heading?: "h1" | "h2" | "h3";
  /** What would be here. */
  text?: string;
  /** The one act that fills it. */
  action?: ReactNode;
}

export function EmptyState({ title, heading: Heading = "h2", text, action }: EmptyStateProps) {
  return (
    <div className="mx-auto flex max-w-md flex-col items-center gap-3 px-6 py-16 text-center">
      <Heading className="text-lg font-semibold">{title}</Heading>
      {text && <p className="text-pretty whitespace-pre-line text-muted">{text}</p>}
      {action}
    </div>
  );
}

interface ErrorStateProps {
  error: ApiError;
  retry?: () => void;
}

/** What failed in the API's own sentence, its code, and the way on; never what was thrown. */
export function ErrorState({ error, retry }: ErrorStateProps) {
  const queries = useQueryClient();
  const again = retry ?? (() => void queries.refetchQueries({ type: "active" }));
  return (
    <div role="alert" className="mx-auto flex max-w-md flex-col items-center gap-3 px-6 py-16 text-center">
      <p className="text-md">{error.message}</p>
      {error.status > 0 && <code className="font-mono text-xs text-faint">{error.code}</code>}
      <Button onClick={again}>{strings.errors.retry}</Button>
    </div>
  );
}
