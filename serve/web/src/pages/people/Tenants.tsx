/** Every tenant of the installation, for administrators: how it pays, and what a minute of it may hold. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";

import { api, unwrap } from "@/api/client";
import { useTenants } from "@/api/queries";
import type { Schemas } from "@/api/types";
import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { Section } from "@/pages/frame/PageFrame";
import { type Column, Table } from "@/ui/table";
import { LimitFields } from "@/pages/keys/LimitFields";
import { limitsOf } from "@/pages/keys/state";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select, TextField } from "@/ui/fields";
import { ago } from "@/ui/quantities";

import { FormDialog } from "./FormDialog";
import { limitsInWords, textsOf } from "./limits";
import type { Tenant } from "./queries";

const WORDS = strings.people;

type Billing = Schemas["Billing"];

const BILLINGS: Billing[] = ["postpaid", "prepaid"];
const NEW: Tenant = {
  name: "",
  billing: "postpaid",
  limits: { requests_per_minute: null, tokens_per_minute: null, images_per_minute: null },
  created_at: "",
};

export function Tenants() {
  const tenants = useTenants(true);
  return (
    <Section title={WORDS.tenants} text={WORDS.tenantsText} aside={<TenantForm tenant={NEW} />}>
      <Answered query={tenants} waiting={<RowsWaiting rows={2} />}>
        {({ data }) => <Table label={WORDS.tenants} columns={COLUMNS} rows={data} keyOf={({ name }) => name} />}
      </Answered>
    </Section>
  );
}

const COLUMNS: Column<Tenant>[] = [
  {
    key: "name",
    title: WORDS.tenantColumns.name,
    cell: ({ name }) => (
      <Link href={`/people?tenant=${encodeURIComponent(name)}`} className="font-medium underline">
        {name}
      </Link>
    ),
  },
  { key: "billing", title: WORDS.tenantColumns.billing, cell: ({ billing }) => WORDS.billings[billing] },
  {
    key: "limits",
    title: WORDS.tenantColumns.limits,
    from: "sm",
    className: "w-full text-muted",
    cell: ({ limits }) => limitsInWords(limits),
  },
  {
    key: "made",
    title: WORDS.tenantColumns.made,
    from: "sm",
    className: "whitespace-nowrap text-muted",
    cell: ({ created_at }) => ago(created_at),
  },
  {
    key: "actions",
    title: WORDS.tenantColumns.actions,
    isTitleHidden: true,
    cell: (tenant) => <TenantForm tenant={tenant} />,
  },
];

/** The button and its form: for a new tenant, or of one that there is. */
function TenantForm({ tenant }: { tenant: Tenant }) {
  const isNew = tenant.name === "";
  const queries = useQueryClient();
  const [isOpen, setOpen] = useState(false);
  const [name, setName] = useState("");
  const [billing, setBilling] = useState<Billing>(tenant.billing);
  const [limits, setLimits] = useState(textsOf(tenant.limits));
  const open = () => {
    setName("");
    setBilling(tenant.billing);
    setLimits(textsOf(tenant.limits));
    setOpen(true);
  };
  const save = async () => {
    const body = { billing, limits: limitsOf(limits) };
    if (isNew) return unwrap(api.POST("/v1/admin/tenants", { body: { ...body, name: name.trim() } }));
    return unwrap(api.PATCH("/v1/admin/tenants/{name}", { params: { path: { name: tenant.name } }, body }));
  };
  return (
    <>
      <Button kind={isNew ? "secondary" : "quiet"} onClick={open}>
        {isNew ? WORDS.newTenant : WORDS.edit}
      </Button>
      <FormDialog
        open={isOpen}
        onClose={() => {
          setOpen(false);
        }}
        title={isNew ? WORDS.newTenant : WORDS.editTenant(tenant.name)}
        act={isNew ? WORDS.create : WORDS.save}
        run={save}
        done={WORDS.saved}
        onDone={() => queries.invalidateQueries({ queryKey: ["tenants"] })}
      >
        {isNew && (
          <TextField
            label={WORDS.name}
            hint={WORDS.nameHint}
            required
            maxLength={40}
            value={name}
            onChange={({ target }) => {
              setName(target.value);
            }}
          />
        )}
        <Select
          label={WORDS.billing}
          value={billing}
          options={BILLINGS.map((value) => ({ value, label: strings.usage[value] }))}
          onChange={({ target }) => {
            setBilling(target.value === "prepaid" ? "prepaid" : "postpaid");
          }}
        />
        <LimitFields
          values={limits}
          hint={WORDS.limitsHint}
          onChange={(changed) => {
            setLimits({ ...limits, ...changed });
          }}
        />
      </FormDialog>
    </>
  );
}
