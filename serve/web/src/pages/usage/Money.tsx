/** What may still be spent: budgets with what is left of them, and credit. */
import { Link } from "wouter";

import type { Schemas } from "@/api/types";
import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { Section } from "@/pages/frame/PageFrame";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { day, money } from "@/ui/quantities";

import { BudgetBar } from "./BudgetBar";
import { useBudgets, useCredits } from "./queries";

const WORDS = strings.usage;

export function BudgetSection({ tenant }: { tenant: string | null }) {
  const { may } = useSession();
  const budgets = useBudgets(tenant);
  const manage = may("budgets") && (
    <Button asChild>
      <Link href="/people#budgets">{budgets.data?.data.length === 0 ? WORDS.setBudget : WORDS.manageBudgets}</Link>
    </Button>
  );
  return (
    <Section title={WORDS.budgets} text={WORDS.budgetsText} aside={manage}>
      <Answered query={budgets} waiting={<RowsWaiting rows={2} />}>
        {({ data }) =>
          data.length === 0 ? (
            <p className="text-muted">{WORDS.noBudgets}</p>
          ) : (
            <ul className="flex flex-col gap-4">
              {data.map((budget) => (
                <li key={budget.id}>
                  <BudgetBar budget={budget} />
                </li>
              ))}
            </ul>
          )
        }
      </Answered>
    </Section>
  );
}

export function CreditSection({ tenant }: { tenant: string | null }) {
  const credits = useCredits(tenant);
  return (
    <Section title={WORDS.credit}>
      <Answered query={credits} waiting={<RowsWaiting rows={2} />}>
        {(found) => <Credit credits={found} />}
      </Answered>
    </Section>
  );
}

function Credit({ credits }: { credits: Schemas["CreditsView"] }) {
  const { remaining, held, grants, billing } = credits;
  return (
    <>
      <div>
        <p className="text-lg font-semibold">
          {grants.length === 0 ? WORDS.noCredit : WORDS.creditLeft(money(remaining))}
        </p>
        {held.nano_usd > 0 && <p className="text-muted">{WORDS.creditHeld(money(held))}</p>}
        <p className="text-muted">{WORDS[billing]}</p>
      </div>
      <ul className="flex flex-col">
        {grants.map((grant) => (
          <li key={grant.id} className="flex flex-wrap justify-between gap-2 border-b border-line py-2">
            <span>{WORDS.grant(money(grant.remaining), money(grant.amount))}</span>
            <span className="text-muted">
              {grant.note}
              {grant.expires_at !== null && ` ${WORDS.until(day(grant.expires_at))}`}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}
