/** Stands around what only somebody who has signed in may see, and around what needs a scope besides. */
import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";

import type { Schemas } from "@/api/types";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { EmptyState } from "@/ui/states";

import { signInPath } from "./return-to";
import { useSession } from "./session";
import { Waiting } from "./Waiting";

interface RequireSessionProps {
  /** What one would see: the heading of the page while it cannot be shown. */
  title: string;
  /** What would be here, in a sentence. */
  text?: string;
  scope?: Schemas["Scope"];
  children: ReactNode;
}

export function RequireSession({ title, text, scope, children }: RequireSessionProps) {
  const { isLoading, isSignedIn, may } = useSession();
  const [location] = useLocation();
  if (isLoading) return <Waiting />;
  if (!isSignedIn)
    return (
      <EmptyState
        heading="h1"
        title={title}
        text={[text, strings.errors.signInNeeded].filter(Boolean).join("\n")}
        action={
          <Button kind="primary" large asChild>
            <Link href={signInPath(location + window.location.search)}>{strings.shell.signIn}</Link>
          </Button>
        }
      />
    );
  if (scope !== undefined && !may(scope))
    return <EmptyState heading="h1" title={title} text={strings.errors.scopeNeeded(scope)} />;
  return children;
}
