/** The run button with what it will cost, and what is left for those who have not signed in. */
import { Square } from "lucide-react";
import { Link, useLocation } from "wouter";

import type { Playground } from "@/playground/usePlayground";
import { signInPath } from "@/shell/return-to";
import { useSession, useSite } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { duration, money } from "@/ui/quantities";
import { ButtonKey } from "@/ui/words";

export function RunBar({ playground }: { playground: Playground }) {
  const { run, plan, errors } = playground;
  const words = strings.playground;
  const num = Object.keys(errors).length;
  return (
    <div className="sticky bottom-0 flex flex-col gap-2 border-t border-line bg-surface p-4 pt-3">
      <div className="flex items-center gap-3">
        {run.isBusy ? (
          <Button large className="flex-1" disabled={run.run === null} onClick={() => void run.cancel()}>
            <Square size={14} aria-hidden />
            {words.cancelRun}
          </Button>
        ) : (
          <Button kind="primary" large type="submit" className="flex-1">
            {words.run}
            <ButtonKey>{words.runKeys}</ButtonKey>
          </Button>
        )}
        {plan !== null && (
          <p className="min-w-24 text-sm text-muted">
            <span className="sr-only">{words.estimate}: </span>
            {plan.estimated_seconds !== null && (
              <span className="block">{words.about(duration(plan.estimated_seconds))}</span>
            )}
            {plan.cost_at_most && <span className="block">{words.atMost(money(plan.cost_at_most))}</span>}
          </p>
        )}
      </div>
      {num > 0 && (
        <p role="status" className="text-sm text-bad">
          {words.fixFields(num)}
        </p>
      )}
      <WhatIsLeft />
    </div>
  );
}

function WhatIsLeft() {
  const { isSignedIn, isLoading } = useSession();
  const [location] = useLocation();
  const requests = useSite().data?.playground.requests ?? [];
  const day = requests.find((one) => one.window === "day");
  const minute = requests.find((one) => one.window === "minute");
  const words = strings.playground;
  if (isSignedIn || isLoading || day === undefined) return null;
  return (
    <p className="text-sm text-faint">
      {words.left(day.left, day.limit)}
      {minute !== undefined && minute.left < minute.limit && `; ${words.leftMinute(minute.left, minute.limit)}`}
      {". "}
      <Link href={signInPath(location + window.location.search)} className="text-muted underline hover:text-fg">
        {words.signInForMore}
      </Link>
    </p>
  );
}
