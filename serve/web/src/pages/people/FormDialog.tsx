/** A short form in a dialog: its fields, what the API refuses, one act. */
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useId } from "react";

import { Refusal } from "@/pages/frame/Confirm";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { toast } from "@/ui/toast";

interface FormDialogProps {
  open: boolean;
  onClose: () => void;
  title: string;
  act: string;
  run: () => Promise<unknown>;
  /** Said when it has succeeded. */
  done: string;
  onDone: () => unknown;
  children: ReactNode;
}

export function FormDialog({ open, onClose, title, act, run, done, onDone, children }: FormDialogProps) {
  const id = useId();
  const acting = useMutation({
    mutationFn: run,
    onSuccess: () => {
      toast(done, "ok");
      onClose();
      void onDone();
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
          <Button kind="primary" type="submit" form={id} disabled={acting.isPending}>
            {act}
          </Button>
        </>
      }
    >
      <form
        id={id}
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          acting.mutate();
        }}
      >
        {children}
        {acting.error !== null && <Refusal thrown={acting.error} />}
      </form>
    </Dialog>
  );
}
