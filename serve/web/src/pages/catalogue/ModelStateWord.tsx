/** Whether a model is awake, and how long it takes to wake up where that was measured. */
import type { Card } from "@/api/types";
import { strings } from "@/strings";
import { duration } from "@/ui/quantities";
import { StateWord, type Tone } from "@/ui/words";

const TONES: Record<Card["state"], Tone> = { ready: "ok", loading: "info", at_zero: "plain", failed: "bad" };

export function ModelStateWord({ card }: { card: Pick<Card, "state" | "cold_start_seconds" | "message"> }) {
  return (
    <span title={card.message || undefined}>
      <StateWord tone={TONES[card.state]}>{stateInWords(card)}</StateWord>
    </span>
  );
}

function stateInWords({ state, cold_start_seconds: seconds }: Pick<Card, "state" | "cold_start_seconds">): string {
  if (state !== "at_zero") return strings.catalogue.state[state];
  return seconds === null ? strings.catalogue.noColdStart : strings.catalogue.coldStart(duration(seconds));
}
