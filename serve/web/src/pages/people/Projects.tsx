/** The projects of a tenant, with what a minute of each may hold. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, unwrap } from "@/api/client";
import { ofTenant, useProjects } from "@/api/queries";
import { Answered, RowsWaiting } from "@/pages/frame/Answered";
import { Section } from "@/pages/frame/PageFrame";
import { type Column, Table } from "@/ui/table";
import { LimitFields, type LimitTexts } from "@/pages/keys/LimitFields";
import { limitsOf } from "@/pages/keys/state";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { TextField } from "@/ui/fields";
import { ago } from "@/ui/quantities";

import { FormDialog } from "./FormDialog";
import { limitsInWords, textsOf } from "./limits";
import type { Project } from "./queries";

const WORDS = strings.people;
const NO_LIMITS: LimitTexts = { requests: "", tokens: "", images: "" };

export function Projects({ tenant }: { tenant: string | null }) {
  const { may } = useSession();
  const projects = useProjects(tenant);
  const columns: Column<Project>[] = [
    { key: "name", title: WORDS.projectColumns.name, className: "font-medium", cell: ({ name }) => name },
    {
      key: "limits",
      title: WORDS.projectColumns.limits,
      className: "w-full text-muted",
      cell: ({ limits }) => limitsInWords(limits),
    },
    {
      key: "made",
      title: WORDS.projectColumns.made,
      from: "sm",
      className: "whitespace-nowrap text-muted",
      cell: ({ created_at }) => ago(created_at),
    },
  ];
  if (may("members"))
    columns.push({
      key: "actions",
      title: WORDS.projectColumns.actions,
      isTitleHidden: true,
      cell: (project) => <EditProject project={project} tenant={tenant} />,
    });
  return (
    <Section title={WORDS.projects} text={WORDS.projectsText} aside={may("members") && <NewProject tenant={tenant} />}>
      <Answered query={projects} waiting={<RowsWaiting rows={2} />}>
        {({ data }) => <Table label={WORDS.projects} columns={columns} rows={data} keyOf={({ name }) => name} />}
      </Answered>
    </Section>
  );
}

function NewProject({ tenant }: { tenant: string | null }) {
  const queries = useQueryClient();
  const [isOpen, setOpen] = useState(false);
  const [name, setName] = useState("");
  const [limits, setLimits] = useState(NO_LIMITS);
  const create = () => {
    const body = { name: name.trim(), limits: limitsOf(limits) };
    return unwrap(api.POST("/v1/projects", { params: { query: ofTenant(tenant) }, body }));
  };
  return (
    <>
      <Button
        onClick={() => {
          setName("");
          setLimits(NO_LIMITS);
          setOpen(true);
        }}
      >
        {WORDS.newProject}
      </Button>
      <FormDialog
        open={isOpen}
        onClose={() => {
          setOpen(false);
        }}
        title={WORDS.newProject}
        act={WORDS.create}
        run={create}
        done={WORDS.saved}
        onDone={() => queries.invalidateQueries({ queryKey: ["projects"] })}
      >
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

function EditProject({ project, tenant }: { project: Project; tenant: string | null }) {
  const queries = useQueryClient();
  const [isOpen, setOpen] = useState(false);
  const [limits, setLimits] = useState(NO_LIMITS);
  const save = () => {
    const params = { path: { name: project.name }, query: ofTenant(tenant) };
    return unwrap(api.PATCH("/v1/projects/{name}", { params, body: { limits: limitsOf(limits) } }));
  };
  return (
    <>
      <Button
        kind="quiet"
        onClick={() => {
          setLimits(textsOf(project.limits));
          setOpen(true);
        }}
      >
        {WORDS.editLimits}
      </Button>
      <FormDialog
        open={isOpen}
        onClose={() => {
          setOpen(false);
        }}
        title={WORDS.limitsOf(project.name)}
        act={WORDS.save}
        run={save}
        done={WORDS.saved}
        onDone={() => queries.invalidateQueries({ queryKey: ["projects"] })}
      >
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
