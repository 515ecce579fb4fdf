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

/** What a proxy says for a platform that is not there. The platform's own answers, 504 among them, carry an id. */
const BY_PROXIES = new Set([502, 504]);
const BY_PLATFORM = "x-request-id";

/** `fetch` that says when nobody answered. */
export async function reach(request: Request): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(request);
  } catch (thrown) {
    if (thrown instanceof TypeError) useReachability.getState().lost();
    throw thrown;
  }
  if (BY_PROXIES.has(response.status) && !response.headers.has(BY_PLATFORM)) useReachability.getState().lost();
  return response;
}
