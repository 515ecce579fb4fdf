/** Settings, what comes of them, and what was before: three columns, or one with the others folded on narrow screens. */
import { ChevronRight } from "lucide-react";
import type { ReactNode } from "react";

import { strings } from "@/strings";
import { useMedia } from "@/ui/useMedia";

/** There is room for columns side by side. */
const WIDE = "(min-width: 1024px)";

interface PlaygroundFrameProps {
  settings: ReactNode;
  history?: ReactNode;
  children: ReactNode;
}

export function PlaygroundFrame({ settings, history, children }: PlaygroundFrameProps) {
  const isWide = useMedia(WIDE);
  if (!isWide) {
    return (
      <div className="flex flex-1 flex-col">
        <div className="shrink-0">
          <Folded title={strings.chat.settings}>{settings}</Folded>
          {history && <Folded title={strings.chat.conversations}>{history}</Folded>}
        </div>
        <div className="flex flex-1 flex-col">{children}</div>
      </div>
    );
  }
  return (
    <div className="flex min-h-0 flex-1">
      <aside
        aria-label={strings.chat.settings}
        className="w-72 shrink-0 overflow-y-auto border-r border-line bg-surface p-4 xl:w-80"
      >
        {settings}
      </aside>
      <div className="flex min-w-0 flex-1 flex-col bg-bg">{children}</div>
      {history && (
        <aside className="w-[200px] shrink-0 overflow-y-auto border-l border-line bg-surface p-4 xl:w-60">
          {history}
        </aside>
      )}
    </div>
  );
}

function Folded({ title, children }: { title: string; children: ReactNode }) {
  return (
    <details className="group border-b border-line bg-surface">
      <summary className="flex h-9 cursor-pointer list-none items-center gap-1 px-4 text-muted">
        <ChevronRight size={14} aria-hidden className="transition-transform group-open:rotate-90" />
        {title}
      </summary>
      <div className="px-4 pb-4">{children}</div>
    </details>
  );
}
