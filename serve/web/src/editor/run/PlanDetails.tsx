/** The plan node by node, or everything that keeps the workflow from running, each with the way to its field. */
import { forPeople } from "@/api/errors";
import type { Problem } from "@/api/types";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { duration, money } from "@/ui/quantities";
import { StateWord, type Tone } from "@/ui/words";

import type { NodePlan, Plan } from "./state";

interface PlanDetailsProps {
  open: boolean;
  onClose: () => void;
  plan: Plan | null;
  problems: Problem[];
  titleOf: (node: string) => string;
  focusField: (node: string, field: string | null) => void;
}

const TONES: Record<NodePlan["status"], Tone> = { cached: "ok", runs: "info", depends: "plain" };

export function PlanDetails({ open, onClose, plan, problems, titleOf, focusField }: PlanDetailsProps) {
  const words = strings.workflowRun;
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title={problems.length > 0 ? words.whatStops : words.fullPlan}
      className="max-w-2xl"
    >
      {problems.length > 0 && (
        <ProblemList
          problems={problems}
          titleOf={titleOf}
          focusField={(node, field) => {
            onClose();
            focusField(node, field);
          }}
        />
      )}
      {problems.length === 0 && plan !== null && <PlanTable plan={plan} titleOf={titleOf} />}
    </Dialog>
  );
}

export function ProblemList({
  problems,
  titleOf = (node) => node,
  focusField,
}: {
  problems: Problem[];
  titleOf?: (node: string) => string;
  focusField?: (node: string, field: string | null) => void;
}) {
  return (
    <ul className="flex flex-col gap-2">
      {problems.map((problem, index) => (
        <li key={index} className="flex items-start justify-between gap-3">
          <div className="min-w-0">
            <StateWord tone={problem.severity === "error" ? "bad" : "warn"}>
              {placeOf(problem, titleOf) || problem.code}
            </StateWord>
            <p>{forPeople(problem.message)}</p>
          </div>
          {problem.node !== null && focusField && (
            <Button
              onClick={() => {
                focusField(problem.node ?? "", problem.field);
              }}
            >
              {strings.workflowRun.goToField}
            </Button>
          )}
        </li>
      ))}
    </ul>
  );
}

/** The node and its field in people's words: `inputs.` goes without saying. */
function placeOf({ node, field }: Problem, titleOf: (node: string) => string): string {
  return [node && titleOf(node), field?.replace(/^inputs\./, "")].filter(Boolean).join(" · ");
}

function PlanTable({ plan, titleOf }: { plan: Plan; titleOf: (node: string) => string }) {
  const words = strings.workflowRun;
  return (
    <>
      <table className="w-full text-left">
        <thead className="text-sm text-muted">
          <tr>
            <th className="py-1 font-normal">{words.node}</th>
            <th className="py-1 font-normal">{words.will}</th>
            <th className="py-1 text-right font-normal">{words.time}</th>
            <th className="py-1 text-right font-normal">{words.costs}</th>
          </tr>
        </thead>
        <tbody>
          {plan.nodes.map((node) => (
            <tr key={node.node} className="border-t border-line align-top">
              <td className="py-1 pr-2">{titleOf(node.node)}</td>
              <td className="py-1 pr-2">
                <StateWord tone={TONES[node.status]}>{words.statuses[node.status]}</StateWord>
                {node.reason !== null && <p className="text-sm text-muted">{node.reason}</p>}
              </td>
              <td className="py-1 text-right">{node.seconds === null ? "" : duration(node.seconds)}</td>
              <td className="py-1 text-right">{costOf(node)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {plan.notes.length > 0 && (
        <ul
          aria-label={words.notesTitle}
          className="mt-3 flex flex-col gap-1 border-t border-line pt-3 text-sm text-muted"
        >
          {plan.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
    </>
  );
}

function costOf({ status, cost, cost_at_most: most }: NodePlan): string {
  if (status === "cached" || (most !== null && most.nano_usd === 0)) return "";
  if (cost !== null) return money(cost);
  return most === null ? "" : strings.workflowRun.atMost(money(most));
}
