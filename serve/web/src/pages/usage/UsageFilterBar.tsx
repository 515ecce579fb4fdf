/** Of when, of what and in which unit usage is shown; for administrators also of whom. */
import { useTenants } from "@/api/queries";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Select } from "@/ui/fields";

import { type Asked, DIMENSIONS, PERIODS } from "./asked";
import { unitName } from "./units";

const WORDS = strings.usage;

interface UsageFilterBarProps {
  asked: Asked;
  units: string[];
  onChange: (asked: Asked) => void;
}

export function UsageFilterBar({ asked, units, onChange }: UsageFilterBarProps) {
  const { isAdministrator, me } = useSession();
  const tenants = useTenants(isAdministrator).data?.data ?? [];
  const dimensions = DIMENSIONS.filter((one) => one !== "tenant" || isAdministrator);
  const known = asked.measure in WORDS.measures || units.includes(asked.measure) ? units : [...units, asked.measure];
  return (
    <div className="flex flex-wrap items-end gap-3">
      <Select
        label={WORDS.period}
        value={asked.period}
        options={PERIODS.map((value) => ({ value, label: WORDS.periods[value] }))}
        onChange={({ target }) => {
          onChange({ ...asked, period: PERIODS.find((one) => one === target.value) ?? "month" });
        }}
      />
      <Select
        label={WORDS.by}
        value={asked.by}
        options={dimensions.map((value) => ({ value, label: WORDS.dimensions[value] }))}
        onChange={({ target }) => {
          onChange({ ...asked, by: DIMENSIONS.find((one) => one === target.value) ?? "model" });
        }}
      />
      <Select
        label={WORDS.measure}
        value={asked.measure}
        options={[
          ...Object.entries(WORDS.measures).map(([value, label]) => ({ value, label })),
          ...known.map((value) => ({ value, label: unitName(value) })),
        ]}
        onChange={({ target }) => {
          onChange({ ...asked, measure: target.value });
        }}
      />
      {isAdministrator && (
        <Select
          label={WORDS.tenant}
          value={asked.tenant ?? ""}
          options={[
            { value: "", label: me?.tenant ?? "" },
            ...tenants.filter(({ name }) => name !== me?.tenant).map(({ name }) => ({ value: name, label: name })),
            { value: "*", label: WORDS.allTenants },
          ]}
          onChange={({ target }) => {
            onChange({ ...asked, tenant: target.value === "" ? null : target.value });
          }}
        />
      )}
    </div>
  );
}
