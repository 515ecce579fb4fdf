/** In whose name the page acts, and what has to be forgotten when that is somebody else. */
import type { Me } from "./types";

const NOBODY = "anonymous";
const forgetting = new Set<() => void>();

/** Tenant and person (or key), in one word. What is kept in the browser is kept under it. */
export function ownerOf(me: Pick<Me, "tenant" | "key_id" | "user"> | null): string {
  if (me === null) return NOBODY;
  return [me.tenant ?? "", me.user?.id ?? me.key_id].map(encodeURIComponent).join("/");
}

/** For what a module holds in memory of `ownerOf`'s: `act` lets go of it. */
export function whenOwnerLeaves(act: () => void): void {
  forgetting.add(act);
}

/** Lets go of what is held in memory and for this tab. Whoever signs in goes on with what was written before. */
export function forgetOwner(owner: string): void {
  if (owner === NOBODY) return;
  for (const act of forgetting) act();
  sessionStorage.clear();
}
