/** Budgets: how each stands; made, changed and deleted by whoever may. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { Confirm } from "@/pages/frame/Confirm";
import { Section } from "@/pages/frame/PageFrame";
import { type Budget, BudgetBar, reachOf } from "@/pages/usage/BudgetBar";
import { useBudgets } from "@/pages/usage/queries";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";

import { BudgetForm } from "./BudgetForm";
import { deleteBudget } from "./queries";

const WORDS = strings.people;

export function Budgets({ tenant }: { tenant: string | null }) {
  const { may, isAdministrator } = useSession();
  const budgets = useBudgets(tenant);
  const mayChange = (budget: Budget) => may("budgets") && (isAdministrator || budget.set_by !== "admin");
  return (
    <Section
      title={WORDS.budgets}
      text={WORDS.budgetsText}
      aside={may("budgets") && <BudgetForm budget={null} tenant={tenant} />}
    >
      <Answered query={budgets} waiting={<RowsWaiting rows={2} />}>
        {({ data }) =>
          data.length === 0 ? (
            <p className="text-muted">{WORDS.noBudgets}</p>
          ) : (
            <ul className="grid gap-x-8 gap-y-5 md:grid-cols-2">
              {data.map((budget) => (
                <li key={budget.id} className="flex flex-col gap-2">
                  <BudgetBar budget={budget} />
                  {mayChange(budget) ? (
                    <Acts budget={budget} tenant={tenant} />
                  ) : (
                    <p className="text-sm text-faint">{budget.set_by === "admin" && WORDS.byAdministrator}</p>
                  )}
                </li>
              ))}
            </ul>
          )
        }
      </Answered>
    </Section>
  );
}

function Acts({ budget, tenant }: { budget: Budget; tenant: string | null }) {
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  return (
    <div className="-ml-2.5 flex gap-2">
      <BudgetForm budget={budget} tenant={tenant} />
      <Button
        kind="quiet"
        className="text-bad!"
        onClick={() => {
          setAsking(true);
        }}
      >
        {WORDS.delete}
      </Button>
      <Confirm
        open={isAsking}
        onClose={() => {
          setAsking(false);
        }}
        title={WORDS.deleteBudget(budget.title || reachOf(budget))}
        act={WORDS.delete}
        run={() => deleteBudget(budget.id)}
        onDone={() => void queries.invalidateQueries({ queryKey: ["budgets"] })}
      >
        <p>{WORDS.deleteBudgetText}</p>
      </Confirm>
    </div>
  );
}
