/** The document's title: what is seen, then whose page it is. */
import { useEffect } from "react";

import { strings } from "@/strings";

export function titleOf(name: string): string {
  return name === "" ? strings.shell.product : `${name} · ${strings.shell.product}`;
}

/** A view that shows one thing names it; the others have the name that the routes give them. */
export function usePageTitle(name: string): void {
  useEffect(() => {
    document.title = titleOf(name);
  }, [name]);
}
