/** The members of a tenant: their roles, and the way out. Administrators take people in. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { asApiError } from "@/api/errors";
import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { Confirm } from "@/pages/frame/Confirm";
import { Section } from "@/pages/frame/PageFrame";
import { type Column, Table } from "@/ui/table";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select } from "@/ui/fields";
import { ago } from "@/ui/quantities";
import { Switch } from "@/ui/switch";
import { toast } from "@/ui/toast";

import { type Member, removeMember, type Role, ROLES, setRole, useMembers } from "./queries";
import { TakeIn } from "./TakeIn";

const WORDS = strings.people;
export const ROLE_OPTIONS = ROLES.map((value) => ({
  value,
  label: `${WORDS.roles[value]}: ${WORDS.rolesText[value]}`,
}));
const SHORT_OPTIONS = ROLES.map((value) => ({ value, label: WORDS.roles[value] }));

export function nameOf({ name, email, user_id }: Pick<Member, "name" | "email" | "user_id">): string {
  return name || email || user_id;
}

export function Members({ tenant }: { tenant: string | null }) {
  const { isAdministrator } = useSession();
  const members = useMembers(tenant);
  const known = members.data?.data ?? [];
  return (
    <Section
      title={WORDS.members}
      text={WORDS.membersText}
      aside={isAdministrator && <TakeIn tenant={tenant} members={known} />}
    >
      <Answered query={members} waiting={<RowsWaiting rows={3} />}>
        {({ data }) =>
          data.length === 0 ? (
            <p className="text-muted">
              {WORDS.noMembers}. {WORDS.noMembersText}
            </p>
          ) : (
            <Table label={WORDS.members} columns={columnsOf(tenant)} rows={data} keyOf={({ user_id }) => user_id} />
          )
        }
      </Answered>
    </Section>
  );
}

function columnsOf(tenant: string | null): Column<Member>[] {
  return [
    { key: "name", title: WORDS.columns.name, className: "w-full", cell: (member) => <Person member={member} /> },
    {
      key: "role",
      title: WORDS.columns.role,
      className: "min-w-28",
      cell: (member) => <RoleChoice member={member} tenant={tenant} />,
    },
    {
      key: "granted",
      title: WORDS.columns.granted,
      from: "md",
      className: "whitespace-nowrap text-muted",
      cell: ({ granted_by }) => WORDS.grantedBy[granted_by] ?? granted_by,
    },
    {
      key: "login",
      title: WORDS.columns.login,
      from: "sm",
      className: "whitespace-nowrap text-muted",
      cell: ({ last_login_at }) => ago(last_login_at),
    },
    {
      key: "actions",
      title: WORDS.columns.actions,
      isTitleHidden: true,
      cell: (member) => <Remove member={member} tenant={tenant} />,
    },
  ];
}

function Person({ member }: { member: Member }) {
  const { me } = useSession();
  return (
    <>
      <p className="font-medium">
        {nameOf(member)}
        {me?.user?.id === member.user_id && <span className="font-normal text-muted"> ({WORDS.you})</span>}
      </p>
      <p className="text-sm text-muted">{member.email}</p>
    </>
  );
}

function RoleChoice({ member, tenant }: { member: Member; tenant: string | null }) {
  const queries = useQueryClient();
  const setting = useMutation({
    mutationFn: (role: Role) => setRole(member.user_id, role, tenant),
    onSuccess: ({ role }) => {
      toast(WORDS.roleSet(nameOf(member), WORDS.roles[role]), "ok");
    },
    onError: (thrown) => {
      toast(asApiError(thrown).message, "bad");
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["members"] }),
  });
  return (
    <Select
      label={WORDS.roleOf(nameOf(member))}
      isLabelHidden
      value={member.role}
      disabled={setting.isPending}
      options={SHORT_OPTIONS}
      onChange={({ target }) => {
        const role = ROLES.find((one) => one === target.value);
        if (role !== undefined) setting.mutate(role);
      }}
    />
  );
}

function Remove({ member, tenant }: { member: Member; tenant: string | null }) {
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  const [isKeeping, setKeeping] = useState(false);
  return (
    <>
      <Button
        kind="quiet"
        className="text-bad!"
        onClick={() => {
          setAsking(true);
        }}
      >
        {WORDS.remove}
      </Button>
      <Confirm
        open={isAsking}
        onClose={() => {
          setAsking(false);
        }}
        title={WORDS.removeTitle(nameOf(member))}
        act={WORDS.remove}
        run={() => removeMember(member.user_id, tenant, isKeeping)}
        onDone={() => {
          toast(WORDS.removed(nameOf(member)), "ok");
          void queries.invalidateQueries({ queryKey: ["members"] });
        }}
      >
        <p>{WORDS.removeText}</p>
        <Switch label={WORDS.keepKeys} checked={isKeeping} onChange={setKeeping} />
      </Confirm>
    </>
  );
}
