/** Every address of the page. Each view is a chunk of its own, loaded when it is first needed. */
import { type ComponentType, lazy, type LazyExoticComponent } from "react";

type View = LazyExoticComponent<ComponentType>;

export interface RouteOf {
  path: string;
  view: View;
}

export const routes: RouteOf[] = [
  { path: "/", view: lazy(() => import("@/pages/catalogue/CataloguePage")) },
  { path: "/models", view: lazy(() => import("@/pages/catalogue/CataloguePage")) },
  { path: "/models/:id", view: lazy(() => import("@/pages/playground/ModelPage")) },
  { path: "/w", view: lazy(() => import("@/pages/workflows/WorkflowsPage")) },
  { path: "/w/:id", view: lazy(() => import("@/editor/EditorPage")) },
  { path: "/w/:id/:tab", view: lazy(() => import("@/editor/EditorPage")) },
  { path: "/runs", view: lazy(() => import("@/pages/runs/RunsPage")) },
  { path: "/runs/:id", view: lazy(() => import("@/pages/runs/RunPage")) },
  { path: "/adapters", view: lazy(() => import("@/pages/adapters/AdaptersPage")) },
  { path: "/usage", view: lazy(() => import("@/pages/usage/UsagePage")) },
  { path: "/keys", view: lazy(() => import("@/pages/keys/KeysPage")) },
  { path: "/people", view: lazy(() => import("@/pages/people/PeoplePage")) },
  { path: "/platform", view: lazy(() => import("@/pages/platform/PlatformPage")) },
  { path: "/signin", view: lazy(() => import("@/pages/signin/SignInPage")) },
  { path: "/design", view: lazy(() => import("@/pages/design/DesignPage")) },
];
