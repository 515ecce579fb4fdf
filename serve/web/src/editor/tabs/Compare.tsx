/** Any two states of the workflow, side by side in words. */
import { useState } from "react";

import { asApiError } from "@/api/errors";
import type { CanvasDraft } from "@/editor/run/draft";
import { strings } from "@/strings";
import { Dialog } from "@/ui/dialog";
import { Select } from "@/ui/fields";
import { Skeleton } from "@/ui/states";

import { Differences } from "./Differences";
import { useDifferences } from "./useVersions";
import { useWhichOptions } from "./useWhich";

interface CompareProps {
  draft: CanvasDraft;
  from: string;
  to: string;
  onClose: () => void;
}

export function Compare({ draft, onClose, ...first }: CompareProps) {
  const words = strings.versions;
  const [from, setFrom] = useState(first.from);
  const [to, setTo] = useState(first.to);
  const { data, error, isPending } = useDifferences(draft.workflow, from, to, draft.revision);
  const options = [...useWhichOptions(draft.workflow), { value: "latest", label: words.latest }];
  return (
    <Dialog open onClose={onClose} title={words.compareTitle} className="max-w-2xl">
      <div className="mb-4 grid grid-cols-2 gap-3">
        <Select
          label={words.from}
          value={from}
          options={options}
          onChange={(event) => {
            setFrom(event.target.value);
          }}
        />
        <Select
          label={words.to}
          value={to}
          options={options}
          onChange={(event) => {
            setTo(event.target.value);
          }}
        />
      </div>
      {isPending && <Skeleton className="h-24 w-full" />}
      {error && <p className="text-bad">{asApiError(error).message}</p>}
      {data && (
        <Differences
          found={data}
          focusField={
            to === "draft"
              ? (node, field) => {
                  onClose();
                  draft.focusField(node, field);
                }
              : undefined
          }
        />
      )}
    </Dialog>
  );
}
