"""A workflow's run that is interrupted anywhere comes to what an uninterrupted one does, and nobody pays twice."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from fakes.runs import made
from fakes.stages import Workshop
from fakes.stages import said as said_by
from fakes.workflow_bench import ACME, Bench, Tills, said_to, steal
from fakes.workflow_runs import PRICE, Rows, workflow_run
from fakes.workflows import LANGUAGE, known, ref, workflow

from serve.domain.errors import EngineFailed
from serve.domain.generation import EventBatch, ModelCall, Verdict
from serve.domain.run import ModelTerms, Run, RunStatus, WorkflowTerms
from serve.domain.steps import StepStatus, WorkflowExecution
from serve.domain.workflow import WorkflowSpec
from serve.settings import RunsSettings
from serve.storage.records import Records

COST = 4
"""Of every answer, in nano-dollars: the tokens of `fakes.models.completed`."""
SETTINGS = RunsSettings(poll_seconds=0.02, max_attempts=100)


async def interrupted(bench: Bench, records: Records, run: Run, execution: WorkflowExecution, tills: Tills) -> int:
    """See the run to its end through runners that stop, or lose it, at any moment; how many there were."""
    num_claims = 0
    while not (await bench.store.get(ACME, run.id)).status.is_terminal:
        num_claims += 1
        assert num_claims < 60, await bench.steps(run)
        runner = bench.runner(execution, tills, f"r{num_claims}")
        await runner.start()
        await asyncio.sleep(tills.chance.uniform(0.05, 0.25) if num_claims > 1 else 0.05)
        if tills.chance.random() < 0.4:
            await steal(records, run)
        await runner.stop()
    return num_claims


def charged_steps(tills: Tills) -> list[str]:
    return sorted(usage_id.partition("/")[2].partition(":")[0] for usage_id in tills.charged)


@pytest.mark.parametrize("seed", range(4))
async def test_every_step_is_paid_for_once(records: Records, seed: int) -> None:
    bench, tills = Bench(records, SETTINGS), Tills(seed)
    labels = [[f"r{row}c{column}" for column in range(4)] for row in range(4)]
    run = await made(bench.store, **workflow_run(max_attempts=100))
    assert await interrupted(bench, records, run, Rows(labels), tills) > 1
    ended = await bench.store.get(ACME, run.id)
    assert (ended.status, ended.cost_nano) == (RunStatus.SUCCEEDED, COST * 16)
    assert charged_steps(tills) == sorted(label for row in labels for label in row)
    assert len(set(tills.begun)) == len(tills.begun)


def lattice() -> WorkflowSpec:
    """Twelve nodes in four rows, each made of two of the row before; and a text of the last."""
    nodes = {}
    for row in range(4):
        for column in range(3):
            template = {"template": "{a} {b}"}
            before = (
                [ref(f"r{row - 1}c{(column + side) % 3}", "text") for side in (0, 1)] if row else ["", f"w{column}"]
            )
            values = {"value_a": before[0], "value_b": before[1]}
            nodes[f"t{row}c{column}"] = {"type": "op:text.template", "inputs": template | values}
            asked = {"prompt": ref(f"t{row}c{column}", "text"), "seed": 1}
            nodes[f"r{row}c{column}"] = {"type": f"model:{LANGUAGE}", "inputs": asked}
    return workflow(nodes, {f"o{column}": (f"r3c{column}", "text") for column in range(3)})


@pytest.mark.parametrize("seed", range(4))
async def test_a_run_comes_to_what_an_uninterrupted_one_does(records: Records, seed: int) -> None:
    shop, spec = Workshop(known()), lattice()
    whole, _ = await shop.perform(spec, model=lambda step: said_by(said_to(step.inputs)), use_cache=False)
    terms = WorkflowTerms(
        digest=spec.digest(), models={LANGUAGE: ModelTerms(digest="sha256:m", price=PRICE)}, use_cache=False
    )
    bench, tills = Bench(records, SETTINGS), Tills(seed)
    run = await made(bench.store, **workflow_run(workflow=terms, max_attempts=100))
    assert await interrupted(bench, records, run, shop.performer(spec), tills) > 1
    ended = await bench.store.get(ACME, run.id)
    assert (ended.status, ended.outputs) == (RunStatus.SUCCEEDED, whole.outputs)
    assert ended.cost_nano == COST * 12
    assert charged_steps(tills) == sorted(f"r{row}c{column}" for row in range(4) for column in range(3))
    steps = (await bench.steps(run)).values()
    assert {step.status for step in steps} == {StepStatus.SUCCEEDED}
    assert sum(step.cost_nano or 0 for step in steps) == COST * 12


class Broken(Tills):
    """Its second call hangs, every other one fails."""

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        self.begun.append(call.context.usage_id)
        if len(self.begun) == 2:
            await asyncio.Event().wait()
        raise EngineFailed("The engine broke.")
        yield []


async def test_a_runner_that_is_lost_gives_a_step_no_further_tries(records: Records) -> None:
    asked = {"type": f"model:{LANGUAGE}", "inputs": {"prompt": "a", "seed": 1}, "policy": {"retries": 2}}
    spec = workflow({"a": asked}, {"out": ("a", "text")})
    terms = WorkflowTerms(digest=spec.digest(), models={LANGUAGE: ModelTerms(digest="sha256:m", price=PRICE)})
    shop, bench, models = Workshop(known()), Bench(records, SETTINGS), Broken(0)
    run = await made(bench.store, **workflow_run(workflow=terms, max_attempts=9))
    first = bench.runner(shop.performer(spec), models)
    await first.start()

    async def has_failed_once() -> bool:
        step = (await bench.steps(run)).get("a")
        return len(models.begun) == 2 and step is not None and step.tries == 1

    await bench.until(has_failed_once)
    await steal(records, run)
    await first.stop()
    second = bench.runner(shop.performer(spec), models, "r2")
    await second.start()
    ended = await bench.ended(run)
    await second.stop()
    assert (ended.status, ended.fence) == (RunStatus.FAILED, 3)
    assert len(models.begun) == 4, "three that failed, and the one that was lost"
    assert (await bench.steps(run))["a"].tries == 3
