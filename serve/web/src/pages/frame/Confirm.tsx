/** Asks before what cannot be taken back or is much at once, and says what it takes away. */
import { useMutation } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { asApiError } from "@/api/errors";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";

interface ConfirmProps {
  open: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
  /** What the button says: the act itself, never "yes". */
  act: string;
  /** False where it can be undone. */
  isDanger?: boolean;
  run: () => Promise<unknown>;
  /** After it has succeeded; the dialog closes by itself. */
  onDone?: () => void;
}

export function Confirm({ open, onClose, title, children, act, isDanger = true, run, onDone }: ConfirmProps) {
  const acting = useMutation({
    mutationFn: run,
    onSuccess: () => {
      onClose();
      onDone?.();
    },
  });
  const close = () => {
    acting.reset();
    onClose();
  };
  return (
    <Dialog
      open={open}
      onClose={close}
      title={title}
      footer={
        <>
          <Button onClick={close}>{strings.shell.cancel}</Button>
          <Button
            kind={isDanger ? "danger" : "primary"}
            disabled={acting.isPending}
            onClick={() => {
              acting.mutate();
            }}
          >
            {act}
          </Button>
        </>
      }
    >
      <div className="flex flex-col gap-3">
        {children}
        {acting.error !== null && <Refusal thrown={acting.error} />}
      </div>
    </Dialog>
  );
}

/** Why an act failed: the API's own sentence, and its code for whoever asks for help. */
export function Refusal({ thrown }: { thrown: unknown }) {
  const error = asApiError(thrown);
  return (
    <p role="alert" className="text-bad">
      {error.message} {error.status > 0 && <code className="font-mono text-xs">{error.code}</code>}
    </p>
  );
}
