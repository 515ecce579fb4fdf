/** Who did something, in words: the API tells of people and keys by their ids. */
import { useQuery } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import type { Me } from "@/api/types";
import { strings } from "@/strings";

import { useSession } from "./session";

const PERSON = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function isOneself(me: Me | null, id: string): boolean {
  return me !== null && (id === me.key_id || id === me.user?.id);
}

/** The name of a person where one may know it, `you` for oneself, and a key by its id. */
export function useWho(): (id: string) => string {
  const { me, may } = useSession();
  const { data: members } = useQuery({
    queryKey: ["members", null],
    queryFn: () => unwrap(api.GET("/v1/members")),
    enabled: may("members"),
    staleTime: 60_000,
  });
  return (id) => {
    if (isOneself(me, id)) return strings.shell.you;
    const member = members?.data.find((one) => one.user_id === id);
    if (member !== undefined) return member.name || member.email;
    return PERSON.test(id) ? strings.shell.somebody : strings.shell.key(id);
  };
}
