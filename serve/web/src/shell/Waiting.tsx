/** Shown while a view's code is on its way; nothing at all in the first 200 ms, so that quick ones do not flicker. */
import { strings } from "@/strings";
import { Skeleton } from "@/ui/states";

export function Waiting() {
  return (
    <div
      role="status"
      aria-label={strings.shell.loading}
      className="mx-auto flex max-w-[1200px] flex-col gap-4 px-4 py-5 sm:px-6"
    >
      <Skeleton className="h-7 w-48" />
      <Skeleton className="h-4 w-80 max-w-full" />
      <Skeleton className="h-40 w-full" />
    </div>
  );
}
