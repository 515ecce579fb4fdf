import { Link } from "wouter";

import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { EmptyState } from "@/ui/states";

import { usePageTitle } from "./usePageTitle";

export function NotFound() {
  usePageTitle(strings.errors.notFoundTitle);
  return (
    <EmptyState
      heading="h1"
      title={strings.errors.notFoundTitle}
      text={strings.errors.notFound}
      action={
        <Button asChild>
          <Link href="/models">{strings.errors.toModels}</Link>
        </Button>
      }
    />
  );
}
