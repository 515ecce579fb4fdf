/** The keys, by where they hold. */
import { strings } from "@/strings";
import { Dialog } from "@/ui/dialog";
import { Kbd } from "@/ui/words";

import { useShellView } from "./shell-view";

const words = strings.shell.keys;

export default function KeyboardHelp() {
  const { over, show } = useShellView();
  return (
    <Dialog
      open={over === "keys"}
      onClose={() => {
        show(null);
      }}
      title={words.title}
      className="max-w-md"
    >
      <div className="flex flex-col gap-5">
        {words.groups.map(({ heading, keys }) => (
          <section key={heading}>
            <h3 className="pb-1 text-sm font-medium text-faint">{heading}</h3>
            <dl>
              {keys.map(([pressed, does]) => (
                <div key={pressed} className="flex h-8 items-center justify-between gap-4 border-b border-line">
                  <dt>{does}</dt>
                  <dd>
                    <Kbd>{pressed}</Kbd>
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
