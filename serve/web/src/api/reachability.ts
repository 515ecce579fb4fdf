/** Whether the platform answers. Told by every call; the shell asks again until it does. */
import { create } from "zustand";

interface Reachability {
  /** Nothing answered the last call. */
  isAway: boolean;
  lost: () => void;
  found: () => void;
}

export const useReachability = create<Reachability>((set) => ({
  isAway: false,
  lost: () => {
    set({ isAway: true });
  },
  found: () => {
    set({ isAway: false });
  },
}));

/** What a proxy says for a platform that is not there, or whose addresses it does not know yet (404). The platform's own
 * answers, 404 and 504 among them, carry an id. */
const BY_PROXIES = new Set([404, 502, 503, 504]);
const BY_PLATFORM = "x-request-id";

/** `fetch` that says when nobody answered; raises TypeError then. */
export async function reach(request: Request): Promise<Response> {
  try {
    const response = await fetch(request);
    if (BY_PROXIES.has(response.status) && !response.headers.has(BY_PLATFORM))
      throw new TypeError(`a proxy answered with status ${String(response.status)}`);
    return response;
  } catch (thrown) {
    if (thrown instanceof TypeError) useReachability.getState().lost();
    throw thrown;
  }
}
