"""The execution of workflows: what runs, in company of what, how often, and what is told of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fakes.stages import COST, MemoryStage, Timed, Workshop, echo, ended, hanging, losing, run_of, said
from fakes.workflows import given, known, published, ref, workflow

from serve.domain.errors import EngineFailed, InvalidRequest, ModelUnavailable, Overloaded
from serve.domain.folds import Answer
from serve.domain.generation import Artifact, Completed, Progress
from serve.domain.media import Asset
from serve.domain.names import AssetId
from serve.domain.steps import ModelStep, StepAnswer, StepStatus
from serve.domain.usage import Quantities
from serve.workflow.results.results import MemoryResults

LANGUAGE = "smollm2-135m-instruct"


def add(a: Any, b: Any, **more: Any) -> dict[str, Any]:
    return {"type": "op:number.calculate", "inputs": {"operation": "add", "a": a, "b": b}, **more}


def chat(prompt: Any, **more: Any) -> dict[str, Any]:
    return {"type": f"model:{LANGUAGE}", "task": "chat", "inputs": {"prompt": prompt, "seed": 1}, **more}


def image(prompt: str, **inputs: Any) -> dict[str, Any]:
    told = {"prompt": prompt, "seed": 1, **inputs}
    return {"type": "model:shapes-sd", "task": "text_to_image", "inputs": told}


def painted(step: ModelStep) -> StepAnswer:
    answer = Answer()
    asset = Asset(AssetId(f"of-{step.label}"), "00", "image/png", 3, 0, width=1, height=1)
    answer.add([Artifact("image", asset), Completed(Quantities(images=1))])
    return StepAnswer(answer, Quantities(images=1), COST)


def joined(**values: Any) -> dict[str, Any]:
    template = " ".join(f"{{{name}}}" for name in values)
    inputs = {f"value_{name}": value for name, value in values.items()}
    return {"type": "op:text.template", "inputs": {"template": template, **inputs}}


@pytest.fixture
def shop() -> Workshop:
    return Workshop(known())


async def test_outputs_are_what_the_nodes_give(shop: Workshop) -> None:
    nodes = {"a": chat("hi"), "b": chat(ref("a", "text")), "c": joined(x=ref("a", "text"), y=ref("b", "text"))}
    performed, stage = await shop.perform(workflow(nodes, {"out": ["c", "text"]}))
    assert performed.outputs == {"out": "hi/1 hi/1/1"}
    assert (performed.usage.completion_tokens, performed.cost_nano) == (2, 2 * COST)
    assert stage.statuses() == dict.fromkeys("abc", "succeeded")
    assert (stage.told[0].label, stage.told[0].status) == ("a", StepStatus.RUNNING)


async def test_a_node_that_nobody_needs_is_skipped_and_says_why(shop: Workshop) -> None:
    _, stage = await shop.perform(workflow({"a": chat("hi"), "b": chat("you")}, {"out": ["a", "text"]}))
    assert (stage.statuses()["b"], stage.rows["b"].reason) == ("skipped", "no output needs it")
    assert [call.label for call in stage.calls] == ["a"]


async def test_everything_that_is_ready_runs_at_once(shop: Workshop) -> None:
    gate = asyncio.Event()

    async def together(step: ModelStep) -> Any:
        if stage.num_calls_running == 5:
            gate.set()
        await gate.wait()
        return echo(step)

    nodes: dict[str, Any] = {f"n{index}": chat(f"{index}") for index in range(5)}
    nodes["all"] = {"type": "op:list.make", "inputs": {f"item_{i}": ref(f"n{i}", "text") for i in range(5)}}
    spec = workflow(nodes, {"out": ["all", "items"]})
    stage = MemoryStage(run_of(spec), together)
    performed = await asyncio.wait_for(shop.performer(spec).perform(stage), 60)
    assert performed.outputs == {"out": [f"{index}/1" for index in range(5)]}


async def test_no_more_steps_run_at_once_than_the_settings_allow(shop: Workshop) -> None:
    shop.settings = shop.settings.model_copy(update={"max_concurrent_steps": 2})
    most = 0

    async def counted(step: ModelStep) -> Any:
        nonlocal most
        most = max(most, stage.num_calls_running)
        await asyncio.sleep(0)
        return echo(step)

    nodes = {f"n{index}": chat(f"{index}") for index in range(6)}
    spec = workflow(nodes, {f"o{index}": [f"n{index}", "text"] for index in range(6)})
    stage = MemoryStage(run_of(spec), counted)
    performed = await shop.performer(spec).perform(stage)
    assert (most, len(performed.outputs)) == (2, 6)


async def test_the_branch_that_is_not_chosen_does_not_run(shop: Workshop) -> None:
    chosen = {"if": given("flag"), "then": ref("yes", "text"), "else": ref("no", "text")}
    nodes = {"yes": chat("yes"), "no": chat("no"), "pick": {"type": "op:condition", "inputs": chosen}}
    spec = workflow(nodes, {"out": ["pick", "value"]}, {"flag": "boolean"})
    performed, stage = await shop.perform(spec, {"flag": False})
    assert performed.outputs == {"out": "no/1"}
    assert [call.label for call in stage.calls] == ["no"]
    assert stage.rows["yes"].reason == "nothing that ran asked for it"


async def test_a_false_condition_skips_a_node_and_what_needs_it(shop: Workshop) -> None:
    nodes = {
        "a": chat("a", when=given("flag")),
        "b": chat(ref("a", "text")),
        "c": {"type": "op:first", "inputs": {"value_1": ref("b", "text"), "value_2": "instead"}},
    }
    outputs = {"out": ["c", "value"], "none": ["b", "text"]}
    performed, stage = await shop.perform(workflow(nodes, outputs, {"flag": "boolean"}), {"flag": False})
    assert performed.outputs == {"out": "instead", "none": None}
    assert performed.error is None
    assert not stage.calls
    assert [stage.rows[label].reason for label in "ab"] == ["its condition is false", "a was skipped"]


async def test_what_a_condition_shuts_out_does_not_have_its_inputs_worked_out(shop: Workshop) -> None:
    nodes = {"dear": chat("dear"), "a": chat(ref("dear", "text"), when=given("flag"))}
    spec = workflow(nodes, {"out": ["a", "text"]}, {"flag": "boolean"})
    _, stage = await shop.perform(spec, {"flag": False})
    assert not stage.calls


def failing(*prompts: str) -> Any:
    def call(step: ModelStep) -> Any:
        if step.inputs["messages"][-1]["content"] in prompts:
            raise EngineFailed("The engine broke.")
        return echo(step)

    return call


async def test_a_failure_fails_what_needs_it_and_nothing_else(shop: Workshop) -> None:
    nodes = {"bad": chat("bad"), "good": chat("good"), "after": chat(ref("bad", "text"))}
    spec = workflow(nodes, {"out": ["after", "text"], "other": ["good", "text"]})
    performed, stage = await shop.perform(spec, model=failing("bad"))
    assert performed.outputs == {"other": "good/1"}
    assert performed.error is not None
    assert (performed.error.code, performed.error.message) == ("engine_failed", "Step bad failed: The engine broke.")
    assert stage.statuses() == {"bad": "failed", "good": "succeeded", "after": "skipped"}
    assert stage.rows["after"].reason == "bad failed"


async def test_a_defect_in_a_node_is_told_without_its_words(shop: Workshop) -> None:
    def broken(step: ModelStep) -> Any:
        raise RuntimeError("secret")

    performed, stage = await shop.perform(workflow({"a": chat("a")}, {"out": ["a", "text"]}), model=broken)
    assert stage.rows["a"].error is not None
    assert stage.rows["a"].error.code == "internal_error"
    assert "secret" not in str(performed)


async def test_what_only_a_failed_node_needed_is_not_begun(shop: Workshop) -> None:
    shop.settings = shop.settings.model_copy(update={"max_concurrent_steps": 1})
    nodes = {"bad": chat("bad"), "slow": chat("slow"), "both": joined(x=ref("bad", "text"), y=ref("slow", "text"))}
    _, stage = await shop.perform(workflow(nodes, {"out": ["both", "text"]}), model=failing("bad"))
    assert [call.label for call in stage.calls] == ["bad"]
    assert stage.statuses()["slow"] == "skipped"


async def test_identical_nodes_run_once(shop: Workshop) -> None:
    nodes = {"a": chat("same"), "b": chat("same"), "c": joined(x=ref("a", "text"), y=ref("b", "text"))}
    performed, stage = await shop.perform(workflow(nodes, {"out": ["c", "text"]}))
    assert performed.outputs == {"out": "same/1 same/1"}
    assert len(stage.calls) == 1
    assert (stage.statuses()["b"], stage.rows["b"].reason) == ("cached", "the same as a")


async def test_a_second_run_asks_no_model(shop: Workshop) -> None:
    spec = workflow({"a": chat("a"), "b": chat(ref("a", "text"))}, {"out": ["b", "text"]})
    first, _ = await shop.perform(spec)
    second, stage = await shop.perform(spec)
    assert second.outputs == first.outputs
    assert (stage.calls, second.cost_nano, second.usage.nonzero()) == ([], 0, {})
    assert stage.statuses() == {"b": "cached", "a": "skipped"}


async def test_a_run_that_wants_no_cache_runs_everything_and_keeps_it(shop: Workshop) -> None:
    spec = workflow({"a": chat("a")}, {"out": ["a", "text"]})
    await shop.perform(spec)
    _, anew = await shop.perform(spec, use_cache=False)
    _, after = await shop.perform(spec)
    assert (len(anew.calls), len(after.calls)) == (1, 0)


async def test_previews_are_asked_of_nodes_that_ask_for_none_and_change_no_result(shop: Workshop) -> None:
    nodes = {"a": image("a star"), "b": image("a star", previews=1)}
    spec = workflow(nodes, {name: [name, "seed"] for name in nodes})
    _, stage = await shop.perform(spec, model=painted, previews=4)
    asked = {step.label: step.inputs["previews"] for step in stage.calls}
    assert asked == {"a": 4, "b": 1}
    _, again = await shop.perform(spec, model=painted)
    assert again.calls == []


async def test_what_is_not_to_be_cached_runs_and_what_it_feeds_is_known_by_content(shop: Workshop) -> None:
    nodes = {"a": chat("a", policy={"cache": "off"}), "b": chat(ref("a", "text"))}
    spec = workflow(nodes, {"out": ["b", "text"]})
    await shop.perform(spec)
    _, same = await shop.perform(spec)
    _, other = await shop.perform(spec, model=lambda step: said("changed"))
    assert [call.label for call in same.calls] == ["a"]
    assert [call.label for call in other.calls] == ["a", "b"]


async def test_results_that_cannot_be_reached_are_done_without(shop: Workshop) -> None:
    class Away(MemoryResults):
        async def known(self, *_: Any) -> Any:
            raise ConnectionError

        async def keep(self, *_: Any) -> None:
            raise ConnectionError

    shop.results = Away()
    performed, _ = await shop.perform(workflow({"a": chat("a")}, {"out": ["a", "text"]}))
    assert performed.outputs == {"out": "a/1"}


async def test_a_result_that_goes_between_looking_and_taking_is_made_again(shop: Workshop) -> None:
    class Forgetful(MemoryResults):
        async def take(self, *_: Any) -> Any:
            return {}

    shop.results = Forgetful()
    spec = workflow({"a": chat("a"), "b": chat(ref("a", "text"))}, {"out": ["b", "text"]})
    await shop.perform(spec)
    performed, stage = await shop.perform(spec)
    assert performed.outputs == {"out": "a/1/1"}
    assert len(stage.calls) == 2


async def test_a_list_is_run_over_in_order_and_so_many_at_a_time(shop: Workshop) -> None:
    most = 0

    async def counted(step: ModelStep) -> Any:
        nonlocal most
        most = max(most, stage.num_calls_running)
        for _ in range(9 - int(step.inputs["messages"][-1]["content"])):
            await asyncio.sleep(0)
        return echo(step)

    node = chat([str(index) for index in range(9)], map=["prompt"], concurrency=3)
    spec = workflow({"say": node}, {"out": ["say", "text"]})
    stage = MemoryStage(run_of(spec), counted)
    performed = await shop.performer(spec).perform(stage)
    assert performed.outputs == {"out": [f"{index}/1" for index in range(9)]}
    assert most == 3
    assert set(stage.statuses()) == {"say", *(f"say.{index}" for index in range(9))}


async def test_one_item_that_fails_fails_the_node_and_no_other_is_begun(shop: Workshop) -> None:
    node = chat(["a", "bad", "c", "d"], map=["prompt"], concurrency=1)
    performed, stage = await shop.perform(workflow({"say": node}, {"out": ["say", "text"]}), model=failing("bad"))
    assert performed.error is not None
    assert performed.error.message == "Step say.1 failed: The engine broke."
    expected = {"say": "failed", "say.0": "succeeded", "say.1": "failed", "say.2": "skipped", "say.3": "skipped"}
    assert stage.statuses() == expected


@pytest.mark.parametrize(
    ("node", "says"),
    [
        pytest.param(
            add(given("many"), [1, 2], map=["a", "b"]), "the lists that it is run over must be of one length",
            id="of two lengths",
        ),
        pytest.param(add(given("many"), 1, map=["a"], maxItems=2), "it is run over at most 2 items", id="too many"),
    ],
)  # fmt: skip
async def test_lists_that_cannot_be_run_over_are_refused(shop: Workshop, node: dict[str, Any], says: str) -> None:
    spec = workflow({"sum": node}, {"out": ["sum", "result"]}, {"many": "list[number]"})
    performed, _ = await shop.perform(spec, {"many": [1, 2, 3]})
    assert performed.error is not None
    assert says in performed.error.message


async def test_only_the_item_that_changed_runs_again(shop: Workshop) -> None:
    nodes = {"one": chat(given("words"), map=["prompt"]), "two": chat(ref("one", "text"), map=["prompt"])}
    spec = workflow(nodes, {"out": ["two", "text"]}, {"words": "list[text]"})
    await shop.perform(spec, {"words": ["a", "b", "c"]})
    performed, stage = await shop.perform(spec, {"words": ["a", "x", "c"]})
    assert performed.outputs == {"out": ["a/1/1", "x/1/1", "c/1/1"]}
    assert [call.label for call in stage.calls] == ["one.1", "two.1"]


INNER = workflow(
    {"say": chat(given("words")), "loud": chat("loud")},
    {"text": ["say", "text"], "other": ["loud", "text"]},
    {"words": "text"},
)


async def test_of_a_nested_workflow_only_what_is_asked_for_runs() -> None:
    shop = Workshop(known(published(inner=INNER)))
    spec = workflow({"sub": {"type": "workflow:inner@1", "inputs": {"words": "hi"}}}, {"out": ["sub", "text"]})
    performed, stage = await shop.perform(spec)
    assert performed.outputs == {"out": "hi/1"}
    assert stage.statuses() == {"sub": "succeeded", "sub/say": "succeeded", "sub/loud": "skipped"}
    assert stage.rows["sub"].outputs == {"text": "hi/1"}


async def test_a_nested_workflow_is_run_over_a_list() -> None:
    shop = Workshop(known(published(inner=INNER)))
    node = {"type": "workflow:inner@1", "inputs": {"words": ["a", "b"]}, "map": ["words"]}
    performed, stage = await shop.perform(workflow({"sub": node}, {"out": ["sub", "text"]}))
    assert performed.outputs == {"out": ["a/1", "b/1"]}
    expected = {"sub", "sub.0", "sub.1", "sub.0/say", "sub.1/say"}
    assert {label for label, status in stage.statuses().items() if status == "succeeded"} == expected


async def test_a_failure_within_a_nested_workflow_is_its_failure() -> None:
    shop = Workshop(known(published(inner=INNER)))
    nodes = {"sub": {"type": "workflow:inner@1", "inputs": {"words": "bad"}}, "after": chat(ref("sub", "text"))}
    performed, stage = await shop.perform(workflow(nodes, {"out": ["after", "text"]}), model=failing("bad"))
    assert performed.error is not None
    assert performed.error.message == "Step sub/say failed: The engine broke."
    assert (stage.statuses()["sub"], stage.statuses()["after"]) == ("failed", "skipped")


async def test_a_nested_workflow_whose_condition_is_false_is_skipped_whole() -> None:
    shop = Workshop(known(published(inner=INNER)))
    nodes = {"sub": {"type": "workflow:inner@1", "inputs": {"words": "a"}, "when": given("flag")}}
    spec = workflow(nodes, {"out": ["sub", "text"]}, {"flag": "boolean"})
    performed, stage = await shop.perform(spec, {"flag": False})
    assert (performed.outputs, performed.error) == ({"out": None}, None)
    assert set(stage.statuses().values()) == {"skipped"}
    assert stage.rows["sub"].reason == "its condition is false"


async def test_a_target_is_run_to_and_nothing_beyond(shop: Workshop) -> None:
    spec = workflow({"a": chat("a"), "b": chat(ref("a", "text"))}, {"out": ["b", "text"]})
    _, stage = await shop.perform(spec, targets=("a.text",))
    assert [call.label for call in stage.calls] == ["a"]


async def test_a_lost_replica_costs_no_retry(shop: Workshop) -> None:
    performed, stage = await shop.perform(workflow({"a": chat("a")}, {"out": ["a", "text"]}), model=losing(2))
    assert performed.outputs == {"out": "a/1"}
    assert [call.number for call in stage.calls] == [1, 2, 3]
    assert stage.rows["a"].tries == 1
    assert len(stage.logged) == 2


async def test_a_call_that_loses_every_replica_is_given_up(shop: Workshop) -> None:
    performed, stage = await shop.perform(workflow({"a": chat("a")}, {"out": ["a", "text"]}), model=losing(99))
    assert performed.error is not None
    assert (performed.error.code, len(stage.calls)) == ("replica_lost", 3)


@pytest.mark.parametrize("error", [Overloaded("Full."), ModelUnavailable("Starting.")], ids=["full", "starting"])
async def test_a_model_that_is_away_is_waited_for_as_long_as_the_settings_say(shop: Workshop, error: Exception) -> None:
    def refused(step: ModelStep) -> Any:
        raise error

    performed, stage = await shop.perform(workflow({"a": chat("a")}, {"out": ["a", "text"]}), model=refused)
    assert performed.error is not None
    assert 0.9 * shop.settings.max_wait_seconds < sum(shop.pauses) <= shop.settings.max_wait_seconds
    assert stage.calls[-1].number <= 64


@pytest.mark.parametrize(("retries", "num_calls"), [(0, 1), (2, 3)])
async def test_a_nodes_own_failure_is_retried_as_its_policy_says(shop: Workshop, retries: int, num_calls: int) -> None:
    node = chat("bad", policy={"retries": retries})
    _, stage = await shop.perform(workflow({"a": node}, {"out": ["a", "text"]}), model=failing("bad"))
    assert len(stage.calls) == num_calls


async def test_tries_of_an_attempt_that_was_lost_are_used_up(shop: Workshop) -> None:
    outcomes = ["fails", "fails", "hangs", "fails", "fails"]
    third = asyncio.Event()

    def model(step: ModelStep) -> Any:
        if outcomes.pop(0) == "hangs":
            return hanging(third)(step)
        raise EngineFailed("The engine broke.", "odd")

    spec = workflow({"a": chat("a", policy={"retries": 2})}, {"out": ["a", "text"]})
    first = MemoryStage(run_of(spec), model)
    running = asyncio.create_task(shop.performer(spec).perform(first))
    await asyncio.wait_for(third.wait(), 60)
    assert (first.rows["a"].status, first.rows["a"].tries) == (StepStatus.RUNNING, 2)
    running.cancel()
    await asyncio.wait([running])
    assert first.rows["a"].tries == 2
    second = first.next_attempt()
    performed = await shop.performer(spec).perform(second)
    assert (len(second.calls), second.rows["a"].status, second.rows["a"].tries) == (1, StepStatus.FAILED, 3)
    third_stage = second.next_attempt()
    again = await shop.performer(spec).perform(third_stage)
    assert (again.error, third_stage.calls, third_stage.rows["a"].tries) == (performed.error, [], 3)
    assert performed.error is not None
    assert performed.error.code == "odd"


async def test_what_can_never_succeed_is_not_retried(shop: Workshop) -> None:
    def refused(step: ModelStep) -> Any:
        raise InvalidRequest("No.", "invalid_value", "prompt")

    node = chat("a", policy={"retries": 5})
    _, stage = await shop.perform(workflow({"a": node}, {"out": ["a", "text"]}), model=refused)
    assert len(stage.calls) == 1
    assert stage.rows["a"].error is not None
    assert stage.rows["a"].error.param == "prompt"


async def test_a_try_that_takes_too_long_is_stopped_and_fails(shop: Workshop) -> None:
    node = chat("a", policy={"timeoutSeconds": 0.01, "retries": 1})
    performed, stage = await shop.perform(workflow({"a": node}, {"out": ["a", "text"]}), model=hanging(asyncio.Event()))
    assert performed.error is not None
    assert (performed.error.code, len(stage.calls), stage.num_calls_running) == ("step_timeout", 2, 0)


async def test_a_cancel_stops_everything_before_it_returns(shop: Workshop) -> None:
    begun = asyncio.Event()
    nodes = {"a": chat("a"), "b": chat("b"), "c": chat(ref("a", "text"))}
    spec = workflow(nodes, {"x": ["b", "text"], "y": ["c", "text"]})
    stage = MemoryStage(run_of(spec), hanging(begun))
    running = asyncio.create_task(shop.performer(spec).perform(stage))
    await begun.wait()
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert stage.num_calls_running == 0
    assert stage.statuses() == {"a": "canceled", "b": "canceled"}


async def test_an_adopted_run_repeats_nothing_and_counts_all(shop: Workshop) -> None:
    shop.results = MemoryResults()
    begun = asyncio.Event()

    def second_hangs(step: ModelStep) -> Any:
        return hanging(begun)(step) if step.label == "b" else echo(step)

    spec = workflow({"a": chat("a"), "b": chat(ref("a", "text"))}, {"out": ["b", "text"]})
    stage = MemoryStage(run_of(spec), second_hangs)
    running = asyncio.create_task(shop.performer(spec).perform(stage))
    await begun.wait()
    running.cancel()
    await asyncio.wait({running})
    adopted = stage.next_attempt()
    adopted.model = echo
    performed = await shop.performer(spec).perform(adopted)
    assert performed.outputs == {"out": "a/1/1"}
    assert [call.label for call in adopted.calls] == ["b"]
    assert (performed.usage.completion_tokens, performed.cost_nano) == (2, 2 * COST)


async def test_progress_is_passed_on_with_its_step(shop: Workshop) -> None:
    event = Progress(1, 2)
    spec = workflow({"a": chat("a")}, {"out": ["a", "text"]})

    class Saying(MemoryStage):
        async def call(self, step: ModelStep, said: Any) -> Any:
            said([event])
            return await super().call(step, said)

    stage = Saying(run_of(spec))
    await shop.performer(spec).perform(stage)
    assert stage.events == [("a", event)]


async def test_what_has_no_price_leaves_the_whole_without_cost(shop: Workshop) -> None:
    performed, _ = await shop.perform(
        workflow({"a": chat("a")}, {"out": ["a", "text"]}), model=lambda step: replace(echo(step), cost_nano=None)
    )
    assert performed.cost_nano is None


async def test_history_hears_how_much_work_was_done(shop: Workshop) -> None:
    await shop.perform(workflow({"a": chat("four")}, {"out": ["a", "text"]}))
    ((_, type_, work, _, units),) = shop.history.added
    assert (type_, units) == (f"model:{LANGUAGE}", {"completion_tokens": 1})
    assert work > 0


async def test_a_long_run_of_quick_nodes_lets_others_have_the_loop(shop: Workshop) -> None:
    nodes: dict[str, Any] = {"n0": add(1, 1)}
    for index in range(1, 400):
        nodes[f"n{index}"] = add(ref(f"n{index - 1}", "result"), index)
    spec = workflow(nodes, {"out": ["n399", "result"]})
    turns = 0
    running = asyncio.create_task(shop.perform(spec))
    while not running.done():
        turns += 1
        await asyncio.sleep(0)
    performed, stage = await running
    assert performed.outputs == {"out": 2 + sum(range(1, 400))}
    assert turns > 2
    assert ended(stage) == list(nodes)


async def test_operations_on_files_are_done_elsewhere_and_pictures_say_how_they_were_made() -> None:
    asset = {"asset": {"id": "i1", "sha256": "aa", "media_type": "image/png", "num_bytes": 1}}
    steps = []

    class Painting(Timed):
        async def perform(self, step: Any) -> Any:
            steps.append(step)
            return {"image": asset | {}}

    shop = Workshop(known(), operations=Painting())
    shop.settings = shop.settings.model_copy(update={"image_metadata": True})
    spec = workflow({"new": {"type": "op:image.new", "inputs": {"width": 8, "height": 8}}}, {"out": ["new", "image"]})
    performed, _ = await shop.perform(spec)
    assert [step.operation for step in steps] == ["image.new", "image.inscribe"]
    assert set(steps[1].metadata) == {"slipway_workflow", "slipway_run"}
    assert performed.outputs["out"]["asset"]["id"] == "i1"
    steps.clear()
    await shop.perform(spec, metadata=False, use_cache=False)
    assert [step.operation for step in steps] == ["image.new"]
