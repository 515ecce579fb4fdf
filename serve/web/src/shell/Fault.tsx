/** Catches what a view throws while it draws itself, and offers the way on. */
import { Component, type ErrorInfo, type ReactNode } from "react";

import { asApiError } from "@/api/errors";
import { ErrorState } from "@/ui/states";

interface State {
  thrown: unknown;
}

export class Fault extends Component<{ children: ReactNode }, State> {
  override state: State = { thrown: null };

  static getDerivedStateFromError(thrown: unknown): State {
    return { thrown };
  }

  override componentDidCatch(thrown: unknown, info: ErrorInfo): void {
    console.error("a view failed", thrown, info.componentStack);
  }

  override render(): ReactNode {
    if (this.state.thrown === null) return this.props.children;
    return (
      <ErrorState
        error={asApiError(this.state.thrown)}
        retry={() => {
          this.setState({ thrown: null });
        }}
      />
    );
  }
}
