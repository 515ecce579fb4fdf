/** Adapters of the form's model, each with the scale it is applied with. */
import { X } from "lucide-react";
import { useId } from "react";

import { useAdapterChoices } from "@/api/queries";
import type { Adapter, Json } from "@/api/types";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { Select } from "@/ui/fields";
import { Slider } from "@/ui/slider";

import { type AdapterChoice, adaptersOf } from "../values";
import { ADAPTERS } from "../fields";
import { hintOf, type WidgetProps } from "./props";

/** What a hand reaches; the API takes from -10 to 10, typed. */
const SCALES = { minimum: -2, maximum: 2, step: 0.05 };

/** The adapters that were checked against `model`; only those who have signed in may see any. */
export function useAdaptersOf(model: string | undefined) {
  const { isSignedIn } = useSession();
  return useAdapterChoices({ base: model, enabled: isSignedIn && model !== undefined });
}

export function AdaptersField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const chosen = adaptersOf({ [ADAPTERS]: value });
  const maximum = field.schema.maxItems ?? Infinity;
  return (
    <Chooser
      {...props}
      chosen={chosen}
      isFull={chosen.length >= maximum}
      error={error ?? faultWithin(context.errors)}
      onChosen={(next) => {
        onChange(next as unknown as Json);
      }}
    />
  );
}

/** One adapter, as a port takes it: its name alone, or with a scale. */
export function OneAdapterField(props: WidgetProps) {
  const { value, onChange } = props;
  const one = typeof value === "string" ? { name: value } : (value as unknown as AdapterChoice | null);
  return (
    <Chooser
      {...props}
      chosen={one ? [one] : []}
      isFull={one !== null}
      onChosen={([next]) => {
        onChange(next === undefined ? null : next.scale === undefined ? next.name : (next as unknown as Json));
      }}
    />
  );
}

/** The API names the very adapter that it refuses: `adapters.0.name`. */
function faultWithin(errors: Record<string, string>): string | undefined {
  return Object.entries(errors).find(([name]) => name.startsWith(`${ADAPTERS}.`))?.[1];
}

interface ChooserProps extends WidgetProps {
  chosen: AdapterChoice[];
  isFull: boolean;
  onChosen: (chosen: AdapterChoice[]) => void;
}

function Chooser(props: ChooserProps) {
  const { field, chosen, isFull, onChosen, error, context } = props;
  const id = useId();
  const { isSignedIn, isLoading } = useSession();
  const offered = useAdaptersOf(context.model);
  const words = strings.forms;
  const known = offered.data ?? [];
  const rest = known.filter((one) => !chosen.some((choice) => choice.name === one.address));
  const told = error ?? hintOf(props);
  return (
    <div role="group" aria-labelledby={id} className="flex flex-col gap-1">
      <span id={id} className="text-sm text-muted">
        {field.title}
      </span>
      {chosen.map((choice) => (
        <ChosenAdapter
          key={choice.name}
          choice={choice}
          adapter={known.find((one) => one.address === choice.name)}
          disabled={context.disabled}
          onScale={(scale) => {
            onChosen(chosen.map((one) => (one === choice ? { ...one, scale } : one)));
          }}
          onRemove={() => {
            onChosen(chosen.filter((one) => one !== choice));
          }}
        />
      ))}
      {!isSignedIn && !isLoading && <p className="text-sm text-faint">{words.adaptersSignIn}</p>}
      {offered.isError && <p className="text-sm text-bad">{words.adaptersFailed}</p>}
      {offered.isSuccess && known.length === 0 && <p className="text-sm text-faint">{words.noAdapters}</p>}
      {rest.length > 0 && !isFull && (
        <Select
          label={words.addAdapter}
          isLabelHidden
          disabled={context.disabled}
          value=""
          options={[
            { value: "", label: `${words.addAdapter}…` },
            ...rest.map((one) => ({ value: one.address, label: one.title || one.address })),
          ]}
          onChange={(event) => {
            const adapter = rest.find((one) => one.address === event.target.value);
            if (adapter) onChosen([...chosen, { name: adapter.address, scale: adapter.default_scale }]);
          }}
        />
      )}
      {told && <p className={error ? "text-sm text-bad" : "text-sm text-faint"}>{told}</p>}
    </div>
  );
}

interface ChosenProps {
  choice: AdapterChoice;
  adapter: Adapter | undefined;
  disabled: boolean;
  onScale: (scale: number) => void;
  onRemove: () => void;
}

function ChosenAdapter({ choice, adapter, disabled, onScale, onRemove }: ChosenProps) {
  const words = strings.forms;
  const triggers = adapter?.trigger_words ?? [];
  return (
    <div className="flex items-start gap-1 rounded-sm border border-line bg-bg px-2 py-1">
      <div className="min-w-0 flex-1">
        <Slider
          label={choice.name}
          value={choice.scale ?? adapter?.default_scale ?? 1}
          onChange={(scale) => {
            onScale(Number(scale.toFixed(3)));
          }}
          disabled={disabled}
          hint={triggers.length > 0 ? words.triggerWords(triggers) : undefined}
          {...SCALES}
        />
      </div>
      <IconButton label={words.removeAdapter(choice.name)} disabled={disabled} onClick={onRemove} className="-mr-1.5">
        <X size={14} aria-hidden />
      </IconButton>
    </div>
  );
}
