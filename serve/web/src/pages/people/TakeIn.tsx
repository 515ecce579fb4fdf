/** An administrator makes somebody who has logged in a member. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select } from "@/ui/fields";

import { FormDialog } from "./FormDialog";
import { nameOf, ROLE_OPTIONS } from "./Members";
import { type Member, type Role, ROLES, setRole, useUsers } from "./queries";

const WORDS = strings.people;

export function TakeIn({ tenant, members }: { tenant: string | null; members: Member[] }) {
  const queries = useQueryClient();
  const users = useUsers(true).data?.data ?? [];
  const [isOpen, setOpen] = useState(false);
  const [chosen, setChosen] = useState("");
  const [role, setChosenRole] = useState<Role>("developer");
  const inside = new Set(members.map(({ user_id }) => user_id));
  const outside = users.filter(({ id }) => !inside.has(id)).map((user) => ({ ...user, user_id: user.id }));
  const person = outside.find(({ id }) => id === chosen) ?? outside[0];
  if (person === undefined) return null;
  return (
    <>
      <Button
        onClick={() => {
          setOpen(true);
        }}
      >
        {WORDS.takeIn}
      </Button>
      <FormDialog
        open={isOpen}
        onClose={() => {
          setOpen(false);
        }}
        title={WORDS.takeIn}
        act={WORDS.takeIn}
        run={() => setRole(person.id, role, tenant)}
        done={WORDS.takenIn(nameOf(person))}
        onDone={() => queries.invalidateQueries({ queryKey: ["members"] })}
      >
        <p className="text-muted">{WORDS.takeInText}</p>
        <Select
          label={WORDS.person}
          value={person.id}
          options={outside.map((user) => ({ value: user.id, label: `${nameOf(user)} ${user.email}` }))}
          onChange={({ target }) => {
            setChosen(target.value);
          }}
        />
        <Select
          label={WORDS.role}
          value={role}
          options={ROLE_OPTIONS}
          onChange={({ target }) => {
            setChosenRole(ROLES.find((one) => one === target.value) ?? "developer");
          }}
        />
      </FormDialog>
    </>
  );
}
