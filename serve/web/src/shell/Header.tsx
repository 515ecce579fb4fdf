/** The bar at the top of every view: where one can go, what is going on, who one is. */
import { Link, useLocation } from "wouter";

import { strings } from "@/strings";

const PLACES = [
  ["/models", strings.shell.nav.models],
  ["/w", strings.shell.nav.workflows],
  ["/runs", strings.shell.nav.runs],
  ["/adapters", strings.shell.nav.adapters],
  ["/usage", strings.shell.nav.usage],
] as const;

export function Header() {
  const [location] = useLocation();
  return (
    <header className="flex h-11 shrink-0 items-center gap-4 border-b border-line bg-surface px-4">
      <a href="#content" className="sr-only focus:not-sr-only">
        {strings.shell.skipToContent}
      </a>
      <Link href="/models" className="text-lg font-bold">
        {strings.shell.product}
      </Link>
      <nav className="flex gap-1" aria-label={strings.shell.product}>
        {PLACES.map(([path, name]) => (
          <Link
            key={path}
            href={path}
            aria-current={location.startsWith(path) ? "page" : undefined}
            className="rounded-sm border border-transparent px-2.5 py-1 text-muted hover:text-fg aria-[current]:border-line aria-[current]:bg-raised aria-[current]:font-medium aria-[current]:text-fg"
          >
            {name}
          </Link>
        ))}
      </nav>
    </header>
  );
}
