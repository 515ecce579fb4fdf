/** Shown while a view's code is on its way; nothing at all in the first 200 ms, so that quick ones do not flicker. */
import { strings } from "@/strings";
import { Skeleton } from "@/ui/states";

export function Waiting() {
  return (
    <div role="status" aria-label={strings.shell.loading} className="flex flex-col gap-3 p-6">
      <Skeleton className="h-7 w-48" />
      <Skeleton className="h-40 w-full" />
    </div>
  );
}
