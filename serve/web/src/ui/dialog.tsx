/** A modal dialog: the browser's own, which keeps the focus inside, closes on Escape and gives it back. */
import { X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef } from "react";

import { strings } from "@/strings";

import { IconButton } from "./button";
import { classes } from "./classes";

/** A switch has a hidden field beside it, for a moment. */
const FIELD = "input:enabled:not([aria-hidden]), textarea:enabled, select:enabled";

interface DialogProps {
  open: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
  /** Buttons at the foot, the primary one last. */
  footer?: ReactNode;
  /** The title is read out, and not shown; the content goes to the edge. For a search, that names itself. */
  isBare?: boolean;
  className?: string;
}

export function Dialog({ open, onClose, title, children, footer, isBare = false, className }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const opener = useRef<Element | null>(null);
  const isPressedOutside = useRef(false);
  const titleId = useId();
  useEffect(() => {
    const dialog = element.current;
    if (dialog === null) return;
    if (open && !dialog.open) {
      opener.current = document.activeElement;
      dialog.showModal();
      // The browser would focus the first thing that can be pressed, which closes it; a field is what was asked for.
      (dialog.querySelector<HTMLElement>(FIELD) ?? dialog).focus();
    }
    if (!open && dialog.open) {
      dialog.close();
      giveBack(opener.current);
    }
  }, [open]);
  // One that is taken off the page while it is open cannot give the focus back itself.
  useEffect(
    () => () => {
      giveBack(opener.current);
    },
    [],
  );
  return (
    // The backdrop is the dialog's own; pressing it is what Escape is for the keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions, jsx-a11y/click-events-have-key-events
    <dialog
      ref={element}
      tabIndex={-1}
      aria-labelledby={titleId}
      onClose={onClose}
      onPointerDown={(event) => {
        // Who selects text and lets go outside has not pressed outside.
        isPressedOutside.current = event.target === element.current;
      }}
      onClick={(event) => {
        if (event.target === element.current && isPressedOutside.current) onClose();
      }}
      className={classes(
        "m-auto w-[calc(100%-2rem)] rounded-lg border border-line bg-surface p-0 text-fg shadow-float outline-none backdrop:bg-(--veil)",
        className?.includes("max-w-") !== true && "max-w-lg",
        className,
      )}
    >
      {open && (
        <div className="flex max-h-[80dvh] flex-col">
          <header
            className={isBare ? "sr-only" : "flex items-center justify-between border-b border-line py-2 pr-2 pl-4"}
          >
            <h2 id={titleId} className="text-lg font-semibold">
              {title}
            </h2>
            {!isBare && (
              <IconButton label={strings.shell.close} onClick={onClose}>
                <X size={16} aria-hidden />
              </IconButton>
            )}
          </header>
          <div className={classes("min-h-0 overflow-auto", !isBare && "p-4")}>{children}</div>
          {footer && <footer className="flex justify-end gap-2 border-t border-line px-4 py-2.5">{footer}</footer>}
        </div>
      )}
    </dialog>
  );
}

/** Where the focus is lost, it goes to what opened the dialog; where that is gone too (a row, a menu), to the view. */
function giveBack(opener: Element | null): void {
  const isLost = document.activeElement === null || document.activeElement === document.body;
  if (!isLost) return;
  const isThere = opener instanceof HTMLElement && opener.isConnected && opener !== document.body;
  (isThere ? opener : document.getElementById("content"))?.focus();
}
