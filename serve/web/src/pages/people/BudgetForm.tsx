/** A budget to make or to change. What it is of and its period are decided when it is made. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, unwrap } from "@/api/client";
import { ofTenant, useKeys, useProjects } from "@/api/queries";
import type { Schemas } from "@/api/types";
import { type Budget, reachOf } from "@/pages/usage/BudgetBar";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select, TextField } from "@/ui/fields";

import { FormDialog } from "./FormDialog";

const WORDS = strings.people.budgetForm;
const PERIODS: Schemas["Period"][] = ["month", "day", "total"];

interface Values {
  title: string;
  period: Schemas["Period"];
  /** "", "project:<name>" or "key:<id>". */
  of: string;
  limit: string;
  soft: string;
}

function valuesOf(budget: Budget | null): Values {
  return {
    title: budget?.title ?? "",
    period: budget?.period ?? "month",
    of: "",
    limit: budget?.limit?.usd ?? "",
    soft: budget?.soft_limit?.usd ?? "",
  };
}

/** An amount as the API takes it; null for none. */
function amount(text: string): string | null {
  return text.trim() === "" ? null : text.trim();
}

function save(budget: Budget | null, values: Values, tenant: string | null): Promise<unknown> {
  const limits = { title: values.title.trim(), limit_usd: amount(values.limit), soft_limit_usd: amount(values.soft) };
  if (budget !== null)
    return unwrap(api.PATCH("/v1/budgets/{budget_id}", { params: { path: { budget_id: budget.id } }, body: limits }));
  const [kind, name = ""] = values.of.split(/:(.*)/s);
  const of = kind === "project" ? { project: name } : kind === "key" ? { key_id: name } : {};
  return unwrap(api.POST("/v1/budgets", { body: { ...limits, ...of, ...ofTenant(tenant), period: values.period } }));
}

export function BudgetForm({ budget, tenant }: { budget: Budget | null; tenant: string | null }) {
  const queries = useQueryClient();
  const [isOpen, setOpen] = useState(false);
  const [values, setValues] = useState(() => valuesOf(budget));
  const words = strings.people;
  const set = (changed: Partial<Values>) => {
    setValues({ ...values, ...changed });
  };
  return (
    <>
      <Button
        kind={budget === null ? "secondary" : "quiet"}
        onClick={() => {
          setValues(valuesOf(budget));
          setOpen(true);
        }}
      >
        {budget === null ? words.newBudget : words.edit}
      </Button>
      <FormDialog
        open={isOpen}
        onClose={() => {
          setOpen(false);
        }}
        title={budget === null ? words.newBudget : words.editBudget(budget.title || reachOf(budget))}
        act={budget === null ? words.create : words.save}
        run={() => save(budget, values, tenant)}
        done={words.saved}
        onDone={() => queries.invalidateQueries({ queryKey: ["budgets"] })}
      >
        <TextField
          label={WORDS.title}
          maxLength={120}
          value={values.title}
          onChange={({ target }) => {
            set({ title: target.value });
          }}
        />
        {budget === null && <Reach values={values} tenant={tenant} set={set} />}
        <Amounts values={values} set={set} />
      </FormDialog>
    </>
  );
}

interface PartProps {
  values: Values;
  set: (changed: Partial<Values>) => void;
}

function Amounts({ values, set }: PartProps) {
  return (
    <div className="grid grid-cols-2 gap-3">
      <TextField
        label={WORDS.limit}
        hint={WORDS.limitHint}
        inputMode="decimal"
        pattern="\d+(\.\d{1,9})?"
        required={values.soft.trim() === ""}
        value={values.limit}
        onChange={({ target }) => {
          set({ limit: target.value });
        }}
      />
      <TextField
        label={WORDS.soft}
        hint={WORDS.softHint}
        inputMode="decimal"
        pattern="\d+(\.\d{1,9})?"
        value={values.soft}
        onChange={({ target }) => {
          set({ soft: target.value });
        }}
      />
    </div>
  );
}

function Reach({ values, tenant, set }: PartProps & { tenant: string | null }) {
  const { may } = useSession();
  const projects = useProjects(tenant).data?.data ?? [];
  const keys = useKeys(tenant, may("keys")).data?.data ?? [];
  const live = keys.filter(({ revoked_at }) => revoked_at === null);
  return (
    <div className="grid grid-cols-2 gap-3">
      <Select
        label={WORDS.of}
        value={values.of}
        options={[
          { value: "", label: WORDS.ofTenant },
          ...projects.map(({ name }) => ({ value: `project:${name}`, label: WORDS.ofProject(name) })),
          ...live.map(({ id, title }) => ({ value: `key:${id}`, label: WORDS.ofKey(title, id) })),
        ]}
        onChange={({ target }) => {
          set({ of: target.value });
        }}
      />
      <Select
        label={WORDS.period}
        value={values.period}
        options={PERIODS.map((value) => ({ value, label: strings.usage.budget.periods[value] }))}
        onChange={({ target }) => {
          set({ period: PERIODS.find((one) => one === target.value) ?? "month" });
        }}
      />
    </div>
  );
}
