/** How the node runs: kept results, retries, timeout, condition, and running once for each item of a list. */
import { forPeople } from "@/api/errors";
import { clearInput, setLimits, setMap, setPolicy } from "@/editor/core/nodes";
import { WHEN } from "@/editor/core/types";
import type { NodeSpec } from "@/api/types";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { TextField } from "@/ui/fields";
import { Switch } from "@/ui/switch";

import { givenOf } from "./card-rows";
import { edit } from "./commands";
import { openTargets } from "./connecting";
import { tellWrong } from "./joins";
import { currentDoc } from "./opened";
import { LinkWords } from "./InspectorInputs";
import { type CardType, useNode, useNodeProblems, useTypeOf } from "./graph";

const words = strings.editor.canvas;

export function InspectorPolicy({ name }: { name: string }) {
  const node = useNode(name);
  const type = useTypeOf(name);
  const problems = useNodeProblems(name);
  if (node === undefined) return null;
  const policy = node.policy ?? {};
  const errors = Object.fromEntries(problems.map(({ field, message }) => [field ?? "", forPeople(message)]));
  const set = (patch: Parameters<typeof setPolicy>[1]) => {
    edit(setPolicy(name, patch), words.edits.policy, `policy:${name}`);
  };
  return (
    <details className="border-t border-line pt-3" data-field="running">
      <summary className="cursor-pointer text-sm font-semibold">{words.inspector.running}</summary>
      <div className="flex flex-col gap-3 pt-2">
        <div data-field="policy.cache">
          <Switch
            label={words.inspector.cache}
            checked={policy.cache !== "off"}
            onChange={(isOn) => {
              set({ cache: isOn ? undefined : "off" });
            }}
          />
        </div>
        <NumberField
          label={words.inspector.retries}
          field="policy.retries"
          error={errors["policy.retries"]}
          value={policy.retries ?? 0}
          min={0}
          max={5}
          onChange={(retries) => {
            set({ retries: retries || undefined });
          }}
        />
        <NumberField
          label={words.inspector.timeout}
          field="policy.timeoutSeconds"
          error={errors["policy.timeoutSeconds"]}
          value={policy.timeoutSeconds ?? null}
          min={1}
          max={86_400}
          placeholder={words.inspector.noTimeout}
          onChange={(timeoutSeconds) => {
            set({ timeoutSeconds: timeoutSeconds ?? undefined });
          }}
        />
        <Condition name={name} node={node} />
        <Mapping name={name} node={node} type={type} errors={errors} />
      </div>
    </details>
  );
}

interface NumberFieldProps {
  label: string;
  value: number | null;
  min: number;
  max: number;
  placeholder?: string;
  /** As problems name it. */
  field: string;
  error?: string;
  onChange: (value: number | null) => void;
}

function NumberField({ label, value, min, max, placeholder, field, error, onChange }: NumberFieldProps) {
  return (
    <div data-field={field}>
      <TextField
        label={label}
        error={error ?? null}
        type="number"
        value={value ?? ""}
        min={min}
        max={max}
        placeholder={placeholder}
        onChange={(event) => {
          const told = event.target.valueAsNumber;
          onChange(Number.isFinite(told) ? Math.min(max, Math.max(min, told)) : null);
        }}
      />
    </div>
  );
}

function Condition({ name, node }: { name: string; node: NodeSpec }) {
  const given = givenOf((node.when ?? undefined) as never);
  const clear = () => {
    edit(clearInput(name, WHEN), words.edits.when);
  };
  return (
    <div className="flex items-center gap-2 text-sm" data-field="when">
      <span className="text-muted">{words.inspector.when}</span>
      <span className="min-w-0 flex-1 truncate text-right">
        {given.by === "nothing" ? words.inspector.always : <LinkWords given={given} />}
      </span>
      {given.by === "nothing" ? (
        <Button
          kind="quiet"
          aria-label={words.inspector.connectInput(words.inspector.when)}
          onClick={(event) => {
            openTargets({ node: name, port: WHEN, side: "input" }, event.currentTarget);
          }}
        >
          {words.inspector.connect}
        </Button>
      ) : (
        <Button kind="quiet" onClick={clear} aria-label={words.inspector.disconnectPort(words.inspector.when)}>
          {words.inspector.disconnect}
        </Button>
      )}
    </div>
  );
}

interface MappingProps {
  name: string;
  node: NodeSpec;
  type: CardType | undefined;
  errors: Readonly<Record<string, string>>;
}

function Mapping({ name, node, type, errors }: MappingProps) {
  const given = Object.keys(node.inputs ?? {});
  const mapped = node.map ?? [];
  const able = (type?.ports.inputs ?? []).filter((port) => given.includes(port.name) || mapped.includes(port.name));
  if (able.length === 0) return null;
  return (
    <fieldset className="flex flex-col gap-1" data-field="map">
      <legend className="text-sm text-muted">{words.inspector.mapOver}</legend>
      <p className="text-sm text-faint">{words.inspector.mapHint}</p>
      {able.map((port) => (
        <Switch
          key={port.name}
          label={port.title}
          checked={mapped.includes(port.name)}
          onChange={(isOn) => {
            const before = currentDoc();
            edit(setMap(name, port.name, isOn), words.edits.map);
            tellWrong(before);
          }}
        />
      ))}
      {mapped.length > 0 && (
        <div className="grid grid-cols-2 gap-2">
          <NumberField
            label={words.inspector.maxItems}
            field="maxItems"
            error={errors["maxItems"]}
            value={node.maxItems ?? 16}
            min={1}
            max={256}
            onChange={(maxItems) => {
              edit(setLimits(name, { maxItems: maxItems ?? undefined }), words.edits.map, `limits:${name}`);
            }}
          />
          <NumberField
            label={words.inspector.concurrency}
            field="concurrency"
            error={errors["concurrency"]}
            value={node.concurrency ?? 8}
            min={1}
            max={64}
            onChange={(concurrency) => {
              edit(setLimits(name, { concurrency: concurrency ?? undefined }), words.edits.map, `limits:${name}`);
            }}
          />
        </div>
      )}
    </fieldset>
  );
}
