/** One question before something goes that does not come back. */
import { useState, type ReactNode } from "react";

import { asApiError } from "@/api/errors";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";

interface ConfirmProps {
  title: string;
  text: ReactNode;
  act: string;
  isDanger?: boolean;
  /** Rejects with an ApiError, whose sentence is shown in place. */
  run: () => Promise<void>;
  onClose: () => void;
}

export function Confirm({ title, text, act, isDanger = false, run, onClose }: ConfirmProps) {
  const [fault, setFault] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const confirmed = async () => {
    setBusy(true);
    try {
      await run();
      onClose();
    } catch (thrown) {
      setFault(asApiError(thrown).message);
      setBusy(false);
    }
  };
  return (
    <Dialog
      open
      onClose={onClose}
      title={title}
      footer={
        <>
          <Button onClick={onClose}>{strings.shell.cancel}</Button>
          <Button kind={isDanger ? "danger" : "primary"} disabled={isBusy} onClick={() => void confirmed()}>
            {act}
          </Button>
        </>
      }
    >
      <p>{text}</p>
      {fault !== null && (
        <p role="alert" className="mt-3 text-bad">
          {fault}
        </p>
      )}
    </Dialog>
  );
}
