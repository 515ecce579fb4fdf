/** The node's outputs: which of them the workflow answers, and under which names. */
import { exposeOutput, unexposeOutput } from "@/editor/core/exposing";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { PortGlyph } from "@/ui/port-glyph";
import { Switch } from "@/ui/switch";

import { edit } from "./commands";
import { openTargets } from "./connecting";
import { useExposedOutputs, useTypeOf } from "./graph";
import { NamedField } from "./NamedField";

const words = strings.editor.canvas;

export function InspectorOutputs({ name }: { name: string }) {
  const type = useTypeOf(name);
  const exposed = useExposedOutputs(name);
  if (!type || type.ports.outputs.length === 0) return null;
  return (
    <section className="flex flex-col gap-2 border-t border-line pt-3">
      <h3 className="text-sm font-semibold">{words.inspector.outputs}</h3>
      {type.ports.outputs.map((port) => {
        const outside = exposed[port.name];
        const title = port.title;
        return (
          <div key={port.name} className="flex flex-col gap-1" data-field={port.name}>
            <div className="flex items-center gap-2 text-sm">
              <PortGlyph type={port.type} />
              <span className="min-w-0 flex-1 truncate">{title}</span>
              <Button
                kind="quiet"
                aria-label={words.inspector.connectOutput(title)}
                onClick={(event) => {
                  openTargets({ node: name, port: port.name, side: "output" }, event.currentTarget);
                }}
              >
                {words.inspector.connect}
              </Button>
            </div>
            <Switch
              label={words.inspector.exposeOutput(title)}
              checked={outside !== undefined}
              onChange={(isOn) => {
                if (isOn) edit(exposeOutput({ node: name, port: port.name }), words.edits.expose);
                else if (outside !== undefined) edit(unexposeOutput(outside), words.edits.unexpose);
              }}
            />
            {outside !== undefined && (
              <NamedField side="output" label={words.inspector.nameOfOutput(title)} name={outside} />
            )}
          </div>
        );
      })}
    </section>
  );
}
