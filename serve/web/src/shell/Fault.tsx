/** Catches what a view throws while it draws itself, and offers the way on. */
import { Component, type ErrorInfo, type ReactNode } from "react";

import { ApiError } from "@/api/errors";
import { strings } from "@/strings";
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
    const { thrown } = this.state;
    if (thrown === null) return this.props.children;
    return (
      <>
        <h1 className="sr-only">{strings.errors.faultTitle}</h1>
        <ErrorState error={toldOf(thrown)} retry={isMissingCode(thrown) ? reload : this.again} />
      </>
    );
  }

  private readonly again = () => {
    this.setState({ thrown: null });
  };
}

/** Drawing asks nothing of the network: what it throws is a fault of the page, but for code that is missing. */
function toldOf(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (isMissingCode(thrown)) return new ApiError(0, "missing_code", strings.errors.missingCode);
  return new ApiError(-1, "page_fault", strings.errors.fault);
}

/** The view's own code did not come: the platform was away, or has a newer page. Only a reload asks for it again. */
function isMissingCode(thrown: unknown): boolean {
  return thrown instanceof TypeError && /import|module/i.test(thrown.message);
}

function reload(): void {
  window.location.reload();
}
