/** Short messages at the edge: what was done, what went wrong elsewhere. Errors stay until they are closed. */
import { X } from "lucide-react";
import { create } from "zustand";

import { whenOwnerLeaves } from "@/api/owner";
import { strings } from "@/strings";

import { IconButton } from "./button";
import { classes } from "./classes";

export interface Toast {
  id: number;
  tone: "plain" | "ok" | "bad";
  text: string;
  /** What can be done about it. */
  action?: { label: string; run: () => void };
}

interface Toasts {
  shown: Toast[];
  show: (toast: Omit<Toast, "id">) => void;
  close: (id: number) => void;
}

const SECONDS = 5;
let next = 1;

export const useToasts = create<Toasts>((set, get) => ({
  shown: [],
  show: (toast) => {
    const id = next++;
    set({ shown: [...get().shown.slice(-3), { ...toast, id }] });
    if (toast.tone !== "bad")
      setTimeout(() => {
        get().close(id);
      }, SECONDS * 1000);
  },
  close: (id) => {
    set({ shown: get().shown.filter((one) => one.id !== id) });
  },
}));

whenOwnerLeaves(() => {
  useToasts.setState({ shown: [] });
});

export function toast(text: string, tone: Toast["tone"] = "plain", action?: Toast["action"]): void {
  useToasts.getState().show({ text, tone, action });
}

const TONES = { plain: "border-line-strong", ok: "border-ok", bad: "border-bad" };

export function ToastRegion() {
  const { shown, close } = useToasts();
  return (
    <div
      role="status"
      aria-live="polite"
      className="pointer-events-none fixed right-4 bottom-4 z-50 flex w-80 max-w-[calc(100vw-2rem)] flex-col gap-2"
    >
      {shown.map((one) => (
        <div
          key={one.id}
          className={classes(
            "enters pointer-events-auto flex items-start gap-2 rounded-md border bg-raised p-3 shadow-float",
            TONES[one.tone],
          )}
        >
          <p className="min-w-0 flex-1">{one.text}</p>
          {one.action && (
            <button
              type="button"
              className="min-h-6 rounded-sm font-medium text-accent hover:underline"
              onClick={() => {
                one.action?.run();
                close(one.id);
              }}
            >
              {one.action.label}
            </button>
          )}
          <IconButton
            label={strings.shell.close}
            onClick={() => {
              close(one.id);
            }}
            className="-m-1.5"
          >
            <X size={14} aria-hidden />
          </IconButton>
        </div>
      ))}
    </div>
  );
}
