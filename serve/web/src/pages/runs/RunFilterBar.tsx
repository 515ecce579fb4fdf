/** Which runs are shown. A change goes into the address, and so back to the newest. */
import { Link } from "wouter";

import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select } from "@/ui/fields";
import { StateWord } from "@/ui/words";

import { type RunFilters, STATUSES } from "./filters";
import { useTargets } from "./queries";

const WORDS = strings.runs;

interface RunFilterBarProps {
  filters: RunFilters;
  onChange: (filters: RunFilters) => void;
  live: number;
}

export function RunFilterBar({ filters, onChange, live }: RunFilterBarProps) {
  const { models, workflows } = useTargets();
  const targets = [
    { value: "", label: WORDS.ofAnything },
    { value: "models", label: WORDS.ofModels },
    { value: "workflows", label: WORDS.ofWorkflows },
    ...models.map((name) => ({ value: `model:${name}`, label: WORDS.model(name) })),
    ...workflows.map((name) => ({ value: `workflow:${name}`, label: WORDS.workflow(name) })),
  ];
  // What the address asks for is shown, whether or not it is still in the catalogue.
  if (!targets.some(({ value }) => value === filters.of))
    targets.push({ value: filters.of, label: filters.of.replace(":", " ") });
  const statuses = STATUSES.map((value) => ({ value, label: WORDS.statuses[value] }));
  return (
    <div className="flex flex-wrap items-end gap-3">
      <Select
        label={WORDS.filterStatus}
        value={filters.status ?? ""}
        options={[{ value: "", label: WORDS.anyStatus }, ...statuses]}
        onChange={({ target }) => {
          const status = STATUSES.find((one) => one === target.value) ?? null;
          onChange({ ...filters, status, after: null });
        }}
      />
      <Select
        label={WORDS.filterOf}
        value={filters.of}
        options={targets}
        onChange={({ target }) => {
          onChange({ ...filters, of: target.value, after: null });
        }}
      />
      {(filters.status !== null || filters.of !== "") && (
        <Button kind="quiet" asChild>
          <Link href="/runs">{WORDS.clear}</Link>
        </Button>
      )}
      <p aria-live="polite" className="ml-auto flex h-7 items-center max-sm:empty:hidden">
        {live > 0 && <StateWord tone="info">{WORDS.live(live)}</StateWord>}
      </p>
    </div>
  );
}
