/** Where one writes: Enter sends, Shift-Enter breaks the line, Escape stops what is on its way. */
import { Square } from "lucide-react";
import { type KeyboardEvent, useRef, useState } from "react";

import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { ButtonKey } from "@/ui/words";

interface ComposerProps {
  isBusy: boolean;
  /** Why nothing can be sent now. */
  refusal: string | null;
  send: (text: string) => void;
  stop: () => void;
}

export function Composer({ isBusy, refusal, send, stop }: ComposerProps) {
  const [text, setText] = useState("");
  const message = useRef<HTMLTextAreaElement>(null);
  const canSend = !isBusy && refusal === null && text.trim() !== "";
  const submit = () => {
    if (!canSend) return;
    send(text.trim());
    setText("");
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes, Enter chooses a character.
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      submit();
    }
    if (event.key === "Escape" && isBusy) stop();
  };
  return (
    <form
      className="flex items-end gap-2 rounded-md border border-line-strong bg-surface p-2 focus-within:border-focus"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={message}
        aria-label={strings.chat.message}
        placeholder={strings.chat.messageHint}
        aria-describedby={refusal === null ? undefined : "chat-refusal"}
        rows={Math.min(8, Math.max(1, text.split("\n").length))}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
        }}
        onKeyDown={onKeyDown}
        className="max-h-48 min-h-9 flex-1 resize-none bg-transparent px-1 py-2 outline-none"
      />
      {refusal !== null && (
        <p id="chat-refusal" className="self-center text-sm text-bad">
          {refusal}
        </p>
      )}
      {isBusy ? (
        <Button
          large
          onClick={() => {
            stop();
            // The button goes; what comes next is written here.
            message.current?.focus();
          }}
        >
          <Square size={12} fill="currentColor" aria-hidden /> {strings.chat.stop}
        </Button>
      ) : (
        <Button kind="primary" large type="submit" disabled={!canSend}>
          {strings.chat.send} <ButtonKey>↵</ButtonKey>
        </Button>
      )}
    </form>
  );
}
