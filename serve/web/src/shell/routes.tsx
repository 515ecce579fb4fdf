/** Every address of the page. Each view is a chunk of its own, loaded when it is first needed. */
import { type ComponentType, lazy, type LazyExoticComponent } from "react";

import { strings } from "@/strings";

const { nav, titles, signIn } = strings.shell;

type View = LazyExoticComponent<ComponentType>;

export interface RouteOf {
  path: string;
  /** Of the document; a view that shows one thing names it with `usePageTitle`. */
  title: string;
  view: View;
}

export const routes: RouteOf[] = [
  { path: "/", title: nav.models, view: lazy(() => import("@/pages/catalogue/CataloguePage")) },
  { path: "/models", title: nav.models, view: lazy(() => import("@/pages/catalogue/CataloguePage")) },
  { path: "/models/:id", title: titles.model, view: lazy(() => import("@/pages/playground/ModelPage")) },
  { path: "/w", title: nav.workflows, view: lazy(() => import("@/pages/workflows/WorkflowsPage")) },
  { path: "/w/:id", title: titles.workflow, view: lazy(() => import("@/editor/EditorPage")) },
  { path: "/w/:id/:tab", title: titles.workflow, view: lazy(() => import("@/editor/EditorPage")) },
  { path: "/runs", title: nav.runs, view: lazy(() => import("@/pages/runs/RunsPage")) },
  { path: "/runs/:id", title: titles.run, view: lazy(() => import("@/pages/runs/RunPage")) },
  { path: "/adapters", title: nav.adapters, view: lazy(() => import("@/pages/adapters/AdaptersPage")) },
  { path: "/usage", title: nav.usage, view: lazy(() => import("@/pages/usage/UsagePage")) },
  { path: "/keys", title: nav.keys, view: lazy(() => import("@/pages/keys/KeysPage")) },
  { path: "/people", title: nav.people, view: lazy(() => import("@/pages/people/PeoplePage")) },
  { path: "/platform", title: nav.platform, view: lazy(() => import("@/pages/platform/PlatformPage")) },
  { path: "/signin", title: signIn, view: lazy(() => import("@/pages/signin/SignInPage")) },
  { path: "/design", title: titles.design, view: lazy(() => import("@/pages/design/DesignPage")) },
];
