/** `/people`: members and their roles, projects and their limits, budgets; for administrators also the tenants. */
import { useEffect } from "react";
import { useLocation, useSearch } from "wouter";

import { useTenants } from "@/api/queries";
import { PageFrame } from "@/pages/frame/PageFrame";
import { RequireSession } from "@/shell/RequireSession";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Select } from "@/ui/fields";

import { Budgets } from "./Budgets";
import { Members } from "./Members";
import { Projects } from "./Projects";
import { Tenants } from "./Tenants";

const WORDS = strings.people;

export default function PeoplePage() {
  return (
    <RequireSession title={WORDS.title} text={WORDS.text} scope="read">
      <People />
    </RequireSession>
  );
}

function People() {
  const { may, isAdministrator } = useSession();
  const asked = new URLSearchParams(useSearch()).get("tenant");
  const tenant = isAdministrator ? asked : null;
  useEffect(() => {
    // The sections come after the address: a link to one of them has to be followed by hand.
    document.getElementById(location.hash.slice(1))?.scrollIntoView();
  }, []);
  return (
    <PageFrame title={WORDS.title} text={WORDS.text} actions={isAdministrator && <TenantChoice tenant={tenant} />}>
      {may("members") && <Members tenant={tenant} />}
      <Projects tenant={tenant} />
      <div id="budgets">
        <Budgets tenant={tenant} />
      </div>
      {isAdministrator && <Tenants />}
    </PageFrame>
  );
}

function TenantChoice({ tenant }: { tenant: string | null }) {
  const [, navigate] = useLocation();
  const { me } = useSession();
  const tenants = useTenants(true).data?.data ?? [];
  return (
    <Select
      label={WORDS.tenant}
      value={tenant ?? me?.tenant ?? ""}
      options={tenants.map(({ name }) => ({ value: name, label: name }))}
      onChange={({ target }) => {
        navigate(target.value === me?.tenant ? "/people" : `/people?tenant=${encodeURIComponent(target.value)}`);
      }}
    />
  );
}
