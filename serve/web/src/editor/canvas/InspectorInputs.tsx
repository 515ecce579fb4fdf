/** What the node is given: fields for values, words for what comes from elsewhere, and what may be done with each. */
import { forPeople } from "@/api/errors";
import { ArrowDownToLine, Link2, RotateCcw, Unlink } from "lucide-react";

import type { Json } from "@/api/types";
import { all } from "@/editor/core/document";
import { exposeInput, unexposeField } from "@/editor/core/exposing";
import { clearInput, setInput } from "@/editor/core/nodes";
import type { Edit } from "@/editor/core/types";
import { writtenOf } from "@/editor/core/values";
import { SchemaForm } from "@/schema-form/SchemaForm";
import { type FormField, fieldsOfPorts } from "@/schema-form/fields";
import { defaultsOf } from "@/schema-form/values";
import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { PortGlyph } from "@/ui/port-glyph";

import { type Given, givenOf } from "./card-rows";
import { disconnectPort, edit } from "./commands";
import { openTargets } from "./connecting";
import { type CardPort, titleOfNode, titleOfPort, typeOfPort, useNode, useNodeProblems, useTypeOf } from "./graph";
import { AddInput } from "./AddInput";
import { NamedField } from "./NamedField";

const words = strings.editor.canvas;

export function InspectorInputs({ name }: { name: string }) {
  const node = useNode(name);
  const type = useTypeOf(name);
  const errors = useFieldErrors(name);
  if (node === undefined || type === undefined) return null;
  const rows = type.ports.inputs
    .filter((port) => !port.isFree)
    .map((port) => ({ port, given: givenOf(node.inputs?.[port.name] as Json | undefined) }));
  const plain = rows.filter(({ given }) => given.by === "value" || given.by === "nothing");
  const values = Object.fromEntries(
    plain.flatMap(({ port, given }) => (given.by === "value" ? [[port.name, given.value]] : [])),
  );
  const fields = fieldsOfPorts(plain.map(({ port }) => port.declared));
  return (
    <section className="flex flex-col gap-3 border-t border-line pt-3">
      <h3 className="text-sm font-semibold">{words.inspector.inputs}</h3>
      {rows.map(({ port, given }) =>
        given.by === "value" || given.by === "nothing" ? null : (
          <GivenRow key={port.name} node={name} port={port} given={given} error={errors[port.name]} />
        ),
      )}
      <SchemaForm
        fields={fields}
        values={{ ...defaultsOf(fields), ...values }}
        errors={errors}
        model={node.type.startsWith("model:") ? node.type.slice("model:".length) : undefined}
        onChange={(port, value) => {
          edit(
            changeTo(name, port, value),
            words.edits.value(titleOfPort(name, port, "input")),
            `value:${name}:${port}`,
          );
        }}
        onChangeAll={(chosen) => {
          const changes = Object.entries(chosen).map(([port, value]) => changeTo(name, port, value));
          const titles = Object.keys(chosen).map((port) => titleOfPort(name, port, "input"));
          edit(all(...changes), words.edits.value(titles.join(", ")));
        }}
        renderAside={(field) => <FieldActs node={name} field={field} isSet={field.name in values} />}
      />
      <AddInput name={name} />
    </section>
  );
}

function changeTo(node: string, port: string, value: Json): Edit {
  return value === null ? clearInput(node, port) : setInput(node, port, writtenOf(value));
}

/** The first thing that is wrong with each input. */
function useFieldErrors(name: string): Record<string, string> {
  const problems = useNodeProblems(name);
  const errors: Record<string, string> = {};
  for (const { field, message } of problems) {
    const port = field?.replace(/^inputs\./, "").split(/[.[]/)[0];
    if (port) errors[port] ??= forPeople(message);
  }
  return errors;
}

function FieldActs({ node, field, isSet }: { node: string; field: FormField; isSet: boolean }) {
  const { name: port, title } = field;
  return (
    <span className="-mr-1.5 flex shrink-0">
      {isSet && (
        <IconButton
          label={words.inspector.resetPort(title)}
          onClick={() => {
            edit(clearInput(node, port), words.edits.reset);
          }}
        >
          <RotateCcw size={13} aria-hidden />
        </IconButton>
      )}
      <IconButton
        label={words.inspector.connectInput(title)}
        onClick={(event) => {
          openTargets({ node, port, side: "input" }, event.currentTarget);
        }}
      >
        <Link2 size={13} aria-hidden />
      </IconButton>
      <IconButton
        label={words.inspector.exposePort(title)}
        onClick={() => {
          edit(exposeInput(exposable(node, field)), words.edits.expose);
        }}
      >
        <ArrowDownToLine size={13} aria-hidden />
      </IconButton>
    </span>
  );
}

function exposable(node: string, field: FormField) {
  const type = typeOfPort({ node, port: field.name, side: "input" });
  const { name: port, title, description, required: isRequired } = field;
  return { node, port, type, title, description, isRequired };
}

interface GivenRowProps {
  node: string;
  port: CardPort;
  given: Exclude<Given, { by: "value" | "nothing" }>;
  error?: string;
}

/** An input that comes from elsewhere: from where, and the way to undo that. */
function GivenRow({ node, port, given, error }: GivenRowProps) {
  return (
    <div className="flex flex-col gap-1" data-field={port.name}>
      <div className="flex items-center gap-2 text-sm">
        <PortGlyph type={port.type} />
        <span className="shrink-0 text-muted">{port.title}</span>
        <span className="min-w-0 flex-1 truncate text-right">
          <LinkWords given={given} />
        </span>
        {given.by === "input" ? (
          <IconButton
            label={words.inspector.unexposePort(port.title)}
            className="-mr-1.5"
            onClick={() => {
              edit(unexposeField(node, port.name), words.edits.unexpose);
            }}
          >
            <Unlink size={13} aria-hidden />
          </IconButton>
        ) : (
          <IconButton
            label={words.inspector.disconnectPort(port.title)}
            className="-mr-1.5"
            onClick={() => {
              disconnectPort(node, port.name);
            }}
          >
            <Unlink size={13} aria-hidden />
          </IconButton>
        )}
      </div>
      {given.by === "input" && (
        <NamedField side="input" label={words.inspector.nameOfInput(port.title)} name={given.name} />
      )}
      {error && <p className="text-sm text-bad">{error}</p>}
    </div>
  );
}

export function LinkWords({ given }: { given: Given }) {
  if (given.by === "link")
    return words.inspector.from(titleOfNode(given.node), titleOfPort(given.node, given.port, "output"));
  if (given.by === "input") return words.inspector.fromInput(given.name);
  return given.by === "parts" ? words.inspector.partlyFrom(given.count) : null;
}
