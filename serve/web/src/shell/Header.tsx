/** The bar at the top of every view: where one can go, what is going on, who one is. */
import { ChevronDown, Menu as MenuIcon, Search } from "lucide-react";
import { Link, useLocation } from "wouter";

import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Menu } from "@/ui/menu";
import { Kbd } from "@/ui/words";

import { AccountMenu } from "./AccountMenu";
import { HeaderFacts } from "./HeaderFacts";
import { isAt, morePlaces, type Place, PLACES } from "./places";
import { signInPath } from "./return-to";
import { type Session, useSession } from "./session";
import { useShellView } from "./shell-view";

const words = strings.shell;
const NAV_LINK =
  "flex h-7 shrink-0 items-center rounded-sm border border-transparent px-2.5 max-lg:px-1.5 text-muted transition-colors hover:text-fg aria-[current]:border-line aria-[current]:bg-raised aria-[current]:font-medium aria-[current]:text-fg";

export function Header() {
  const [location] = useLocation();
  const session = useSession();
  return (
    <header className="relative flex h-11 shrink-0 items-center gap-3 border-b border-line bg-surface px-4 whitespace-nowrap max-sm:gap-1 max-sm:px-3">
      <a
        href="#content"
        className="sr-only z-50 rounded-sm bg-accent px-3 font-medium text-accent-fg focus:not-sr-only focus:absolute focus:top-1.5 focus:left-2 focus:py-1.5"
      >
        {words.skipToContent}
      </a>
      <NarrowMenu session={session} location={location} />
      <Link href="/models" className="rounded-sm text-lg font-bold tracking-tight">
        {words.product}
      </Link>
      <nav className="flex items-center gap-0.5 max-md:hidden" aria-label={words.places}>
        {PLACES.map((place) => (
          <Link
            key={place.path}
            href={place.path}
            aria-current={isAt(location, place) ? "page" : undefined}
            className={NAV_LINK}
          >
            {place.name}
          </Link>
        ))}
        <MorePlaces session={session} location={location} />
      </nav>
      <div className="flex-1" />
      <HeaderFacts />
      <SearchButton />
      {!session.isLoading && !session.isSignedIn && location !== "/signin" && (
        <Button asChild>
          <Link href={signInPath(location + window.location.search)}>{words.signIn}</Link>
        </Button>
      )}
      <AccountMenu />
    </header>
  );
}

function itemOf(place: Place, location: string, navigate: (path: string) => void) {
  return {
    label: place.name,
    isChecked: isAt(location, place),
    run: () => {
      navigate(place.path);
    },
  };
}

function MorePlaces({ session, location }: { session: Session; location: string }) {
  const [, navigate] = useLocation();
  const more = morePlaces(session);
  if (more.length === 0) return null;
  const here = more.find((place) => isAt(location, place));
  return (
    <Menu
      items={more.map((place) => itemOf(place, location, navigate))}
      trigger={
        <button type="button" className={`${NAV_LINK} gap-1`} aria-current={here === undefined ? undefined : "page"}>
          {here?.name ?? words.more}
          <ChevronDown size={12} aria-hidden />
        </button>
      }
    />
  );
}

function NarrowMenu({ session, location }: { session: Session; location: string }) {
  const [, navigate] = useLocation();
  const items = [...PLACES, ...morePlaces(session)].map((place) => itemOf(place, location, navigate));
  return (
    <Menu
      items={items}
      trigger={
        <Button kind="quiet" square aria-label={words.places} className="-ml-1.5 md:hidden">
          <MenuIcon size={16} aria-hidden />
        </Button>
      }
    />
  );
}

/** On a canvas the keys search its nodes. */
const CANVAS = /^\/w\/[^/]+(\/canvas)?$/;

function SearchButton() {
  const show = useShellView((view) => view.show);
  const [location] = useLocation();
  const hasKeys = !CANVAS.test(location);
  return (
    <Button
      kind="quiet"
      aria-keyshortcuts={hasKeys ? "Control+K Meta+K" : undefined}
      onClick={() => {
        show("palette");
      }}
      className="max-sm:w-7 max-sm:px-0"
    >
      <Search size={14} aria-hidden />
      <span className="max-xl:sr-only">{words.search}</span>
      {hasKeys && (
        <span aria-hidden className="max-lg:hidden">
          <Kbd>Ctrl K</Kbd>
        </span>
      )}
    </Button>
  );
}
