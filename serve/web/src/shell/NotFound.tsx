import { strings } from "@/strings";
import { EmptyState } from "@/ui/states";

export function NotFound() {
  return <EmptyState title={strings.errors.notFound} />;
}
