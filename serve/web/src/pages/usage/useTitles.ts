/** What groups of usage are called by people, where they are counted under ids: keys by what they are for. */
import { useQuery } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import { useSession } from "@/shell/session";
import { isOneself } from "@/shell/useWho";
import { strings } from "@/strings";

import type { Dimension } from "./asked";

/** A person on this page calls under such an id, and no key. */
const OF_PERSON = "user:";

/** Null for what is called what it is counted under. */
export function useTitles(by: Dimension): (name: string) => string | null {
  const { me, may } = useSession();
  const { data: keys } = useQuery({
    queryKey: ["keys", "titles"],
    queryFn: () => unwrap(api.GET("/v1/keys")),
    enabled: by === "key" && may("keys"),
  });
  return (name) => {
    if (by !== "key" || name === "") return null;
    if (isOneself(me, name)) return strings.usage.ownCalls;
    if (name.startsWith(OF_PERSON)) return strings.usage.callsOfPerson;
    return keys?.data.find((one) => one.id === name)?.title ?? null;
  };
}
