/** The frame around every view: its header, its routes, and what happens when a view fails or is on its way. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ComponentType, lazy, Suspense, useLayoutEffect, useState } from "react";
import { Route, Switch, useLocation } from "wouter";

import { whenSessionChanges } from "@/api/client";
import { asApiError } from "@/api/errors";
import { ToastRegion } from "@/ui/toast";
import { TooltipProvider } from "@/ui/tooltip";

import { Fault } from "./Fault";
import { Header } from "./Header";
import { NotFound } from "./NotFound";
import { OfflineBanner } from "./OfflineBanner";
import { routes } from "./routes";
import { SITE_KEY, useTurn } from "./session";
import { type Over, useShellView } from "./shell-view";
import { useFocusOnNavigation, viewOf } from "./useFocusOnNavigation";
import { useNoStrayDrops } from "./useNoStrayDrops";
import { titleOf } from "./usePageTitle";
import { useShellKeys } from "./useShellKeys";
import { Waiting } from "./Waiting";

export function createQueries(): QueryClient {
  const queries = new QueryClient({
    defaultOptions: {
      queries: {
        // The platform may be on this machine: the browser's word on the network says nothing about it.
        networkMode: "always",
        staleTime: 5_000,
        retry: (failures, thrown) => failures < 2 && asApiError(thrown).isTransient,
        retryDelay: (failures) => 500 * 2 ** failures,
      },
      mutations: { networkMode: "always" },
    },
  });
  // A session that has ended: the page asks who it is now, and its views offer signing in.
  whenSessionChanges(() => void queries.invalidateQueries({ queryKey: SITE_KEY }));
  return queries;
}

export function App() {
  const [queries] = useState(createQueries);
  return (
    <QueryClientProvider client={queries}>
      <TooltipProvider>
        <Frame />
        <ToastRegion />
      </TooltipProvider>
    </QueryClientProvider>
  );
}

function Frame() {
  const [location] = useLocation();
  useFocusOnNavigation(location);
  const turn = useTurn();
  useShellKeys();
  useNoStrayDrops();
  return (
    <div className="flex h-dvh flex-col">
      <Header />
      <OfflineBanner />
      <main id="content" tabIndex={-1} className="min-h-0 flex-1 overflow-auto">
        <Fault key={`${String(turn)} ${viewOf(location)}`}>
          <Suspense fallback={<Waiting />}>
            <Switch>
              {routes.map(({ path, title, view }) => (
                <Route key={path} path={path}>
                  <Titled title={title} view={view} />
                </Route>
              ))}
              <Route>
                <NotFound />
              </Route>
            </Switch>
          </Suspense>
        </Fault>
      </main>
      <Overlay of="palette" view={Palette} />
      <Overlay of="keys" view={Help} />
    </div>
  );
}

/** In a layout effect, so that a view that names itself (`usePageTitle`) has the last word. */
function Titled({ title, view: View }: { title: string; view: ComponentType }) {
  useLayoutEffect(() => {
    document.title = titleOf(title);
  }, [title]);
  return <View />;
}

const Palette = lazy(() => import("./CommandPalette"));
const Help = lazy(() => import("./KeyboardHelp"));

/** Loads what lies over the page when it is first asked for. */
function Overlay({ of, view: View }: { of: Over; view: ComponentType }) {
  const isShown = useShellView((shell) => shell.over === of);
  const [wasShown, setShown] = useState(false);
  if (isShown && !wasShown) setShown(true);
  return (
    wasShown && (
      <Suspense>
        <View />
      </Suspense>
    )
  );
}
