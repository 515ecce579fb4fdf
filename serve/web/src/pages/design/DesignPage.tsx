/** The page's own documentation: what there is to build views of, in the theme of now. */
import type { ReactNode } from "react";

import { PageFrame } from "@/pages/frame/PageFrame";
import { strings } from "@/strings";

import { Acts, Fields, InPlace, Snippets, Words } from "./Components";
import { Colors, Letters } from "./Tokens";

const words = strings.design;

export default function DesignPage() {
  return (
    <PageFrame title={words.title} text={words.text}>
      <Part title={words.color} text={words.colorText}>
        <Colors />
      </Part>
      <Part title={words.type}>
        <Letters />
      </Part>
      <Part title={words.acts}>
        <Acts />
      </Part>
      <Part title={words.fields}>
        <Fields />
      </Part>
      <Part title={words.words}>
        <Words />
      </Part>
      <Part title={words.tabs}>
        <Snippets />
      </Part>
      <Part title={words.views}>
        <InPlace />
      </Part>
    </PageFrame>
  );
}

function Part({ title, text, children }: { title: string; text?: string; children: ReactNode }) {
  return (
    <section className="flex flex-col gap-4 border-t border-line pt-4">
      <div>
        <h2 className="text-lg font-semibold">{title}</h2>
        {text && <p className="text-muted">{text}</p>}
      </div>
      {children}
    </section>
  );
}
