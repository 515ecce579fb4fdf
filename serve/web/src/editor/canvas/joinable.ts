/** While a link is drawn: the ports that it may end at. Set when it begins and cleared when it ends, never in between. */
import { create } from "zustand";

import type { PortAt } from "./view";

export const useJoinable = create<{ fitting: ReadonlySet<string> | null }>()(() => ({ fitting: null }));

export function keyOf({ node, port, side }: PortAt): string {
  return `${side}:${node}:${port}`;
}
