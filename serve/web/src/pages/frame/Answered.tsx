/** What was asked of the API, whatever has become of it: on its way, there, failed, or old because it failed since. */
import type { ReactNode } from "react";

import { asApiError } from "@/api/errors";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { ErrorState, Skeleton } from "@/ui/states";

interface AnsweredProps<T> {
  query: { data: T | undefined; error: Error | null; refetch: () => unknown };
  /** The shape of what will be there. */
  waiting?: ReactNode;
  children: (data: T) => ReactNode;
}

export function Answered<T>({ query, waiting, children }: AnsweredProps<T>) {
  const { data, error, refetch } = query;
  if (data === undefined) {
    if (error !== null) return <ErrorState error={asApiError(error)} retry={() => void refetch()} />;
    return (
      <div role="status" aria-label={strings.shell.loading}>
        {waiting ?? <RowsWaiting />}
      </div>
    );
  }
  return (
    <>
      {error !== null && (
        <p role="status" className="flex flex-wrap items-center gap-2 text-warn">
          <span aria-hidden>▲</span> {asApiError(error).message}
          <Button kind="quiet" onClick={() => void refetch()}>
            {strings.errors.retry}
          </Button>
        </p>
      )}
      {children(data)}
    </>
  );
}

/** Rows of a table that are on their way. */
export function RowsWaiting({ rows = 6 }: { rows?: number }) {
  return (
    <div className="flex flex-col gap-2">
      {Array.from({ length: rows }, (_, index) => (
        <Skeleton key={index} className="h-9 w-full" />
      ))}
    </div>
  );
}
