/** Takes a key for one call: it becomes a session, and leaves this form's memory. */
import { useState } from "react";

import { asApiError } from "@/api/errors";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { TextField } from "@/ui/fields";

import { signInByKey } from "./signing-in";

const words = strings.shell.signInPage;

interface KeyFormProps {
  onSignedIn: () => Promise<void>;
  isPrimary: boolean;
}

export function KeyForm({ onSignedIn, isPrimary }: KeyFormProps) {
  const [key, setKey] = useState("");
  const [isSending, setSending] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  const submit = async () => {
    setSending(true);
    setRefusal(null);
    try {
      await signInByKey(key);
      setKey("");
      await onSignedIn();
    } catch (thrown) {
      setRefusal(asApiError(thrown).message);
      setSending(false);
    }
  };
  return (
    <form
      className="flex flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <TextField
        label={words.keyLabel}
        hint={words.keyHint}
        error={refusal}
        type="password"
        autoComplete="off"
        spellCheck={false}
        placeholder="slw_…"
        value={key}
        onChange={(event) => {
          setKey(event.target.value);
        }}
        className="font-mono"
      />
      <Button type="submit" kind={isPrimary ? "primary" : "secondary"} large disabled={isSending || key.trim() === ""}>
        {words.withKey}
      </Button>
    </form>
  );
}
