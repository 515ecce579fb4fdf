/** Where one can go, and who may. The header, the palette and the narrow screen's menu list the same places. */
import { strings } from "@/strings";

import type { Session } from "./session";

const { nav } = strings.shell;

export interface Place {
  path: string;
  name: string;
}

export const PLACES: readonly Place[] = [
  { path: "/models", name: nav.models },
  { path: "/w", name: nav.workflows },
  { path: "/runs", name: nav.runs },
  { path: "/adapters", name: nav.adapters },
  { path: "/usage", name: nav.usage },
];

/** What fewer people need: who may see it is told here, and checked by the API. */
export function morePlaces({
  isSignedIn,
  isAdministrator,
  may,
}: Pick<Session, "isSignedIn" | "isAdministrator" | "may">): Place[] {
  const places: Place[] = [];
  if (isSignedIn) places.push({ path: "/keys", name: nav.keys });
  if (may("members") || may("budgets")) places.push({ path: "/people", name: nav.people });
  if (isAdministrator) places.push({ path: "/platform", name: nav.platform });
  return places;
}

/** Whether `path` is `place`, or within it. The root is the catalogue. */
export function isAt(path: string, place: Place): boolean {
  const here = path === "/" ? "/models" : path;
  return here === place.path || here.startsWith(`${place.path}/`);
}

/** A name as an address has it; what is no right writing of one is a name that nothing has. */
export function nameIn(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
