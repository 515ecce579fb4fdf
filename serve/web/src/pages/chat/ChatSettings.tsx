/** Which model answers and how: adapters as models of their own, a second one beside, the system prompt, parameters. */
import type { Card, Json } from "@/api/types";
import type { FormField } from "@/schema-form/fields";
import { SchemaForm } from "@/schema-form/SchemaForm";
import { defaultsOf } from "@/schema-form/values";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select, TextArea } from "@/ui/fields";
import { Switch } from "@/ui/switch";

import type { Conversation } from "./conversations";
import { useModelChoices } from "./useModelChoices";

interface ChatSettingsProps {
  card: Card;
  conversation: Conversation;
  fields: FormField[];
  errors: Record<string, string>;
  disabled: boolean;
  change: (changed: Partial<Conversation>) => void;
}

export function ChatSettings({ card, conversation, fields, errors, disabled, change }: ChatSettingsProps) {
  const { models, system, values } = conversation;
  const setValue = (name: string, value: Json) => {
    change({ values: { ...values, [name]: value } });
  };
  return (
    <div className="flex flex-col gap-3">
      <Models card={card} models={models} disabled={disabled} change={change} />
      <TextArea
        label={strings.chat.system}
        placeholder={strings.chat.systemHint}
        value={system}
        rows={3}
        maxLength={20_000}
        disabled={disabled}
        onChange={(event) => {
          change({ system: event.target.value });
        }}
      />
      <SchemaForm
        fields={fields}
        values={values}
        errors={errors}
        disabled={disabled}
        onChange={setValue}
        model={card.name}
      />
      <Button
        kind="quiet"
        disabled={disabled}
        className="-ml-2.5 self-start"
        onClick={() => {
          change({ values: defaultsOf(fields) });
        }}
      >
        {strings.chat.reset}
      </Button>
    </div>
  );
}

interface ModelsProps {
  card: Card;
  models: string[];
  disabled: boolean;
  change: (changed: Partial<Conversation>) => void;
}

function Models({ card, models, disabled, change }: ModelsProps) {
  const own = useModelChoices(card, "chat", false);
  const all = useModelChoices(card, "chat", true);
  const [first = card.name, second] = models;
  const isCompared = second !== undefined;
  const other = all.find(({ value }) => value !== first)?.value ?? first;
  return (
    <>
      <Select
        label={isCompared ? strings.chat.firstModel : strings.chat.model}
        value={first}
        disabled={disabled}
        options={withValue(own, first)}
        onChange={(event) => {
          change({ models: [event.target.value, ...models.slice(1)] });
        }}
      />
      <Switch
        label={strings.chat.compare}
        checked={isCompared}
        disabled={disabled}
        onChange={(wanted) => {
          change({ models: wanted ? [first, other] : [first] });
        }}
      />
      {isCompared && (
        <Select
          label={strings.chat.secondModel}
          value={second}
          disabled={disabled}
          options={withValue(all, second)}
          onChange={(event) => {
            change({ models: [first, event.target.value] });
          }}
        />
      )}
    </>
  );
}

/** What is chosen is shown, even while the list is on its way or has it no longer. */
function withValue(options: { value: string; label: string }[], value: string) {
  return options.some((one) => one.value === value) ? options : [...options, { value, label: value }];
}
