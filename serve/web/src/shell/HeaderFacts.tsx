/** What goes on, in a few words: how many models are ready, what today has cost, what is left without signing in. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import { api, unwrap } from "@/api/client";
import { useCatalogue } from "@/api/queries";
import { strings } from "@/strings";
import { money } from "@/ui/quantities";
import { Chip } from "@/ui/words";

import { leftToday } from "./left-today";
import { type Site, useSession, useSite } from "./session";

const words = strings.shell;
const SPENDING_MS = 30_000;

export function HeaderFacts() {
  const { isSignedIn, may } = useSession();
  const { data: site } = useSite();
  return (
    <div className="flex items-center shrink-0 gap-2 max-lg:hidden">
      <ReadyModels />
      {isSignedIn && may("read") && <SpentToday />}
      {site !== undefined && !isSignedIn && <LeftToday site={site} />}
    </div>
  );
}

function ReadyModels() {
  const { data } = useCatalogue();
  if (data === undefined) return null;
  const ready = data.filter((card) => card.state === "ready").length;
  return (
    <Link href="/models" className="rounded-full">
      <Chip className="hover:border-line-strong">
        <span
          aria-hidden
          className={ready > 0 ? "size-1.5 rounded-full bg-ok" : "size-1.5 rounded-full border border-faint"}
        />
        {words.modelsReady(ready)}
      </Chip>
    </Link>
  );
}

/** The day begins at midnight UTC, as the platform's daily budgets do. */
function midnight(): string {
  return `${new Date().toISOString().slice(0, 10)}T00:00:00Z`;
}

function SpentToday() {
  const { data } = useQuery({
    queryKey: ["usage", "today"],
    queryFn: async () =>
      (await unwrap(api.GET("/v1/usage", { params: { query: { granularity: "total", from: midnight() } } }))).data,
    refetchInterval: SPENDING_MS,
  });
  if (data === undefined) return null;
  // What credits have paid is spent too; what was free is not.
  const nano = data.reduce((sum, { cost }) => sum + cost.due.nano_usd + cost.credit.nano_usd, 0);
  return (
    <Link href="/usage" className="rounded-full">
      <Chip className="hover:border-line-strong">{words.spentToday(money({ nano_usd: nano, usd: "" }))}</Chip>
    </Link>
  );
}

function LeftToday({ site }: { site: Site }) {
  const today = leftToday(site);
  if (today === null) return null;
  return <Chip className="max-xl:hidden">{words.leftToday(today.left, today.limit)}</Chip>;
}
