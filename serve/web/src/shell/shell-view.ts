/** What lies over the page: the palette or the list of keys, never both. */
import { create } from "zustand";

export type Over = "palette" | "keys" | null;

interface ShellView {
  over: Over;
  show: (over: Over) => void;
}

export const useShellView = create<ShellView>((set) => ({
  over: null,
  show: (over) => {
    set({ over });
  },
}));
