/** Without a session: how many calls are left today, and how to have more. */
import { Link, useLocation } from "wouter";

import { useLeftToday } from "@/shell/left-today";
import { signInPath } from "@/shell/return-to";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";

export function Quota() {
  const { isSignedIn, isLoading } = useSession();
  const [location] = useLocation();
  const calls = useLeftToday();
  if (isSignedIn || isLoading || calls === null) return null;
  return (
    <p className="text-sm text-muted" role="status">
      {strings.chat.left(calls.left, calls.limit)}.{" "}
      <Link href={signInPath(location + window.location.search)} className="text-fg underline underline-offset-2">
        {strings.chat.signInMore}
      </Link>
    </p>
  );
}
