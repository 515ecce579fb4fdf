/** A file on its way to a workflow: what it holds, what is otherwise here, and what keeps it from running. */
import { useEffect, useState } from "react";

import { type ApiError, asApiError, forPeople, isAborted } from "@/api/errors";
import type { WorkflowSpec } from "@/api/types";
import { ProblemList } from "@/editor/run/PlanDetails";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Skeleton } from "@/ui/states";
import { StateWord } from "@/ui/words";

import { AbsentModels } from "./AbsentModels";
import { CreateDialog } from "./CreateDialog";
import { type Imported, type ModelChoices, readFile } from "./library";
import { nameOf } from "./workflow-names";

interface ImportDialogProps {
  file: File;
  taken: ReadonlySet<string>;
  onClose: () => void;
  /** The file is of no use: another one is to be chosen. */
  onChooseAnother?: () => void;
}

export function ImportDialog({ file, taken, onClose, onChooseAnother }: ImportDialogProps) {
  const words = strings.workflows;
  const [models, setModels] = useState<ModelChoices>({});
  const { found, error } = useRead(file, models);
  if (error !== null || found === null)
    return (
      <Dialog open onClose={onClose} title={words.importTitle}>
        {error === null ? (
          <div role="status" aria-label={words.importing} className="flex flex-col gap-2">
            <Skeleton className="h-5 w-2/3" />
            <Skeleton className="h-16 w-full" />
          </div>
        ) : (
          <div role="alert" className="flex flex-col items-start gap-3">
            <p>{error.message}</p>
            {onChooseAnother && <Button onClick={onChooseAnother}>{words.chooseAnother}</Button>}
          </div>
        )}
      </Dialog>
    );
  const document = found.spec as unknown as WorkflowSpec;
  const title = document.title ?? "";
  return (
    <CreateDialog
      heading={words.importTitle}
      taken={taken}
      onClose={onClose}
      beginning={{ name: nameOf(title === "" ? file.name : title), title, document }}
    >
      <Findings found={found} numNodes={Object.keys(document.nodes ?? {}).length} />
      <AbsentModels document={document} chosen={models} onChoose={setModels} />
    </CreateDialog>
  );
}

/** What the file holds; what was found before stays until it is read anew with other models. */
function useRead(file: File, models: ModelChoices) {
  const [found, setFound] = useState<Imported | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    const mine = new AbortController();
    readFile(file, models, mine.signal).then(setFound, (thrown: unknown) => {
      if (!isAborted(thrown)) setError(asApiError(thrown));
    });
    return () => {
      mine.abort();
    };
  }, [file, models]);
  return { found, error };
}

function Findings({ found, numNodes }: { found: Imported; numNodes: number }) {
  const words = strings.workflows;
  const errors = found.problems.filter((one) => one.severity === "error");
  const warnings = [
    ...found.warnings,
    ...found.problems.filter((one) => one.severity === "warning").map((one) => forPeople(one.message)),
  ];
  return (
    <div className="flex flex-col gap-3">
      <p>{words.imported(numNodes)}</p>
      {errors.length === 0 && <StateWord tone="ok">{words.clean}</StateWord>}
      {errors.length > 0 && (
        <section>
          <h3 className="mb-1 text-sm text-muted">{words.problems}</h3>
          <ProblemList problems={errors} />
        </section>
      )}
      {warnings.length > 0 && (
        <section>
          <h3 className="mb-1 text-sm text-muted">{words.warnings}</h3>
          <ul className="flex list-disc flex-col gap-1 pl-4">
            {[...new Set(warnings)].map((one) => (
              <li key={one}>{one}</li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}
