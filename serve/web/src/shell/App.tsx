/** The frame around every view: its header, its routes, and what happens when a view fails or is on its way. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { Suspense, useState } from "react";
import { Route, Switch } from "wouter";

import { asApiError } from "@/api/errors";
import { ToastRegion } from "@/ui/toast";
import { TooltipProvider } from "@/ui/tooltip";

import { Fault } from "./Fault";
import { Header } from "./Header";
import { NotFound } from "./NotFound";
import { routes } from "./routes";
import { Waiting } from "./Waiting";

function createQueries(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        retry: (failures, thrown) => failures < 2 && asApiError(thrown).isTransient,
        retryDelay: (failures) => 500 * 2 ** failures,
      },
    },
  });
}

export function App() {
  const [queries] = useState(createQueries);
  return (
    <QueryClientProvider client={queries}>
      <TooltipProvider>
        <div className="flex h-dvh flex-col">
          <Header />
          <main id="content" tabIndex={-1} className="min-h-0 flex-1 overflow-auto outline-none">
            <Fault>
              <Suspense fallback={<Waiting />}>
                <Switch>
                  {routes.map(({ path, view }) => (
                    <Route key={path} path={path} component={view} />
                  ))}
                  <Route component={NotFound} />
                </Switch>
              </Suspense>
            </Fault>
          </main>
        </div>
        <ToastRegion />
      </TooltipProvider>
    </QueryClientProvider>
  );
}
