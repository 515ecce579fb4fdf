"""Workflows from a request to what it costs: gateway, runner, models, operations and ledger, all in one process."""

import asyncio
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakes.adapter_files import language_adapter
from fakes.gateway import CHAT
from fakes.images import picture
from fakes.workflow_platform import PAINTER, SLOW, WorkflowPlatform, workflow_platform
from fakes.workflows import given as of
from fakes.workflows import ref, workflow
from PIL import Image

from serve.runs.webhooks import WebhookSender
from serve.settings import WebhookSettings


def chat(prompt: Any, model: str = CHAT, **inputs: Any) -> dict[str, Any]:
    return {"type": f"model:{model}", "task": "chat", "inputs": {"prompt": prompt} | inputs}


def paint(prompt: Any, **inputs: Any) -> dict[str, Any]:
    return {"type": f"model:{PAINTER}", "task": "text_to_image", "inputs": {"prompt": prompt} | inputs}


def resize(image: Any, width: int) -> dict[str, Any]:
    return {"type": "op:image.resize", "inputs": {"image": image, "width": width}}


BANNER = workflow(
    {
        "improve": chat(of("prompt"), max_tokens=6, seed=5),
        "gen": paint(ref("improve", "text"), seed=7),
        "small": resize(ref("gen", "image"), 32),
    },
    {"words": ("improve", "text"), "banner": ("small", "image")},
    {"prompt": "text"},
)
EDIT = workflow(
    {
        "edit": {
            "type": f"model:{PAINTER}",
            "task": "image_to_image",
            "inputs": {"prompt": of("prompt"), "image": of("photo"), "seed": 1},
        }
    },
    {"picture": ("edit", "image")},
    {"photo": "image", "prompt": "text"},
)
STORY = workflow(
    {"say": chat(of("word"), seed=3), "loud": chat(ref("say", "text"), seed=4)},
    {"text": ("loud", "text")},
    {"word": "text"},
)
STORIES = workflow(
    {
        "each": {"type": "workflow:story@1", "inputs": {"word": of("words")}, "map": ["word"], "concurrency": 2},
        "joined": {"type": "op:text.join", "inputs": {"texts": ref("each", "text"), "separator": "|"}},
    },
    {"texts": ("each", "text"), "joined": ("joined", "text")},
    {"words": "list[text]"},
)
TALK = {"prompt": "a red kite over the sea"}


def nano(view: Mapping[str, Any]) -> int:
    return int(view["cost"]["nano_usd"])


async def check_costs(shop: WorkflowPlatform, run: Mapping[str, Any], num_calls: int) -> int:
    """What the steps cost is what the run costs, and what the ledger has of it, node by node."""
    costs = {label: nano(step) for label, step in (await shop.steps(run["id"])).items() if step["cost"]}
    booked = await shop.booked(run["id"], num_calls)
    assert {label: cost for label, cost in costs.items() if cost} == {
        label: cost for label, cost in booked.items() if cost
    }
    assert sum(costs.values()) == nano(run) == sum(booked.values())
    return nano(run)


async def size_at(shop: WorkflowPlatform, output: Mapping[str, Any]) -> tuple[int, int]:
    answer = await shop.client.get(output["asset"]["url"])
    assert answer.status_code == 200
    return Image.open(io.BytesIO(answer.content)).size


async def test_a_run_is_answered_with_its_outputs_and_costs_what_its_steps_cost(tmp_path: Path) -> None:
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(banner=BANNER)
        run = await shop.run("banner", input=TALK)
        assert run["output"]["words"] == "a red kite over the sea"
        assert await size_at(shop, run["output"]["banner"]) == (32, 32)
        steps = await shop.steps(run["id"])
        assert {label: step["status"] for label, step in steps.items()} == dict.fromkeys(
            ("improve", "gen", "small"), "succeeded"
        )
        assert await check_costs(shop, run, 2) > 0
        assert run["usage"]["images"] == 1


async def test_what_is_there_is_not_made_again_unless_that_is_asked_for(tmp_path: Path) -> None:
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(banner=BANNER)
        first = await shop.run("banner", input=TALK)
        again = await shop.run("banner", input=TALK)
        statuses = {label: step["status"] for label, step in (await shop.steps(again["id"])).items()}
        assert len(shop.models.calls) == 2
        anew = await shop.run("banner", input=TALK, use_cache=False)
        assert len(shop.models.calls) == 4
        assert await check_costs(shop, again, 0) == 0
        assert await check_costs(shop, anew, 2) == nano(first) > 0
        assert await size_at(shop, again["output"]["banner"]) == (32, 32)
    assert again["usage"] == {}
    assert statuses["small"] == "cached"
    assert set(statuses.values()) <= {"cached", "skipped"}
    assert again["output"]["words"] == first["output"]["words"]


async def test_a_seed_that_nobody_gives_is_another_every_time(tmp_path: Path) -> None:
    spec = workflow({"gen": paint("a kite")}, {"seed": ("gen", "seed")})
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(open=spec)
        seeds = {(await shop.run("open"))["output"]["seed"] for _ in range(3)}
    assert len(seeds) == 3


async def test_a_plan_knows_what_is_there_and_what_such_steps_took_and_cost(tmp_path: Path) -> None:
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(banner=BANNER)

        async def plan(**body: Any) -> tuple[dict[str, Any], set[str]]:
            answer = await shop.client.post("/v1/workflows/banner/plan", json={"input": TALK} | body)
            assert answer.status_code == 200, answer.text
            return answer.json(), {node["status"] for node in answer.json()["nodes"]}

        before, fresh = await plan()
        run = await shop.run("banner", input=TALK)
        await shop.history.flush()
        after, cached = await plan()
        anew, running = await plan(use_cache=False)
    assert (fresh, cached, running) == ({"runs"}, {"cached"}, {"runs"})
    assert (before["seconds"], before["cost"]) == (None, None)
    assert (after["seconds"], nano(after)) == (0, 0)
    assert 0 < anew["seconds"] < 60
    assert nano(anew) == nano(run)
    assert anew["critical_path"] == ["improve", "gen", "small"]
    assert anew["cost_at_most"]["nano_usd"] == before["cost_at_most"]["nano_usd"] >= nano(run)


async def test_a_client_that_listens_hears_every_step_and_then_the_end(tmp_path: Path) -> None:
    headers = {"accept": "text/event-stream"}
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(banner=BANNER)
        answer = await shop.client.post("/v1/workflows/banner/runs", json={"input": TALK}, headers=headers)
        events = events_of(answer.text)
        run = (await shop.client.get(answer.headers["location"])).json()
    kinds = [kind for kind, _ in events]
    ended = [(data["label"], data["status"]) for kind, data in events if kind == "step" and data["status"] != "running"]
    assert kinds[0] == "queued"
    assert kinds[-1] == "succeeded"
    assert ended == [("improve", "succeeded"), ("gen", "succeeded"), ("small", "succeeded")]
    assert (run["status"], run["output"]["words"]) == ("succeeded", TALK["prompt"])


def events_of(stream: str) -> list[tuple[str, dict[str, Any]]]:
    """(kind, data) of what a stream said."""
    blocks = [block.splitlines() for block in stream.split("\n\n") if "event: " in block]
    return [(lines[1].removeprefix("event: "), json.loads(lines[2].removeprefix("data: "))) for lines in blocks]


class Inbox:
    """Who webhooks are for: what was posted, and to whom."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        self.posts.append((url, json.loads(body)))
        return 204


async def test_a_webhook_is_told_how_a_run_ended(tmp_path: Path) -> None:
    inbox = Inbox()
    async with workflow_platform(tmp_path) as shop:
        services = shop.made.services
        sender = WebhookSender(services.records, services.clock, inbox, WebhookSettings())
        await shop.publish(banner=BANNER)
        run = await shop.run("banner", input=TALK, webhook={"url": "https://hooks.example/a"})
        await sender.send_due()
        await sender.stop()
    ((url, told),) = inbox.posts
    assert url == "https://hooks.example/a"
    assert told["data"]["id"] == run["id"]
    assert told["data"]["output"]["words"] == run["output"]["words"]


async def test_the_same_request_twice_is_one_run(tmp_path: Path) -> None:
    headers = {"idempotency-key": "order-1", "prefer": "wait=30"}
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(banner=BANNER)
        told = {"input": TALK, "use_cache": False}
        posts = [shop.client.post("/v1/workflows/banner/runs", json=told, headers=headers) for _ in range(5)]
        answers = [answer.json() for answer in await asyncio.gather(*posts)]
        assert len(shop.models.calls) == 2
    assert len({answer["id"] for answer in answers}) == 1
    assert {answer["status"] for answer in answers} == {"succeeded"}


async def test_a_picture_of_a_form_is_what_the_model_is_given(tmp_path: Path) -> None:
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(edit=EDIT)
        answer = await shop.client.post(
            "/v1/workflows/edit/runs",
            files={"photo": ("a.png", picture(128, 64))},
            data={"prompt": "a hat"},
            headers={"prefer": "wait=30"},
        )
        run = answer.json()
        assert run["status"] == "succeeded", run["error"]
        assert await size_at(shop, run["output"]["picture"]) == (128, 64)
        await check_costs(shop, run, 1)
    assert run["input"]["photo"].startswith("asset:")
    assert run["usage"]["input_images"] == 1


async def test_what_came_to_be_is_given_although_another_part_failed(tmp_path: Path) -> None:
    spec = workflow(
        {"good": chat("hello"), "bad": chat("!crash"), "after": chat(ref("bad", "text")), "idle": chat("nobody asks")},
        {"good": ("good", "text"), "lost": ("after", "text")},
    )
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(half=spec)
        run = await shop.run("half", "failed")
        steps = await shop.steps(run["id"])
        await shop.booked(run["id"], 2)
        await check_costs(shop, await shop.ended(run["id"]), 2)
    assert run["output"] == {"good": "hello"}
    assert {label: step["status"] for label, step in steps.items()} == {
        "good": "succeeded",
        "bad": "failed",
        "after": "skipped",
        "idle": "skipped",
    }
    assert steps["after"]["reason"] == "bad failed"
    assert nano(steps["good"]) == nano(run) > 0


async def test_a_run_that_is_canceled_stops_its_models_and_is_charged_for_what_ran(tmp_path: Path) -> None:
    words = " ".join(["word"] * 500)
    spec = workflow(
        {"first": chat("one"), "a": chat(words, SLOW), "b": chat(words, SLOW, seed=1), "last": chat(ref("a", "text"))},
        {"first": ("first", "text"), "b": ("b", "text"), "last": ("last", "text")},
    )
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(slow=spec)
        run = (await shop.client.post("/v1/workflows/slow/runs", json={})).json()
        async with asyncio.timeout(60):
            while shop.models.num_open < 2 or len(shop.models.calls) < 3:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert (await shop.client.post(f"/v1/runs/{run['id']}/cancel")).status_code in (200, 202)
        ended = await shop.ended(run["id"])
        assert shop.models.num_open == 0
        steps = await shop.steps(run["id"])
        booked = await shop.booked(run["id"], 3)
        costs = (await shop.client.get(f"/v1/runs/{run['id']}")).json()
    assert ended["status"] == "canceled"
    assert {label: step["status"] for label, step in steps.items()} == {
        "first": "succeeded",
        "a": "canceled",
        "b": "canceled",
    }
    assert nano(costs) == sum(booked.values())
    assert all(0 < booked[label] < 2 * 500 * 2000 for label in ("a", "b"))


async def test_a_run_to_a_node_does_no_more_than_that_node_needs(tmp_path: Path) -> None:
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(banner=BANNER)
        run = await shop.run("banner", input=TALK, targets=["improve"])
        statuses = {label: step["status"] for label, step in (await shop.steps(run["id"])).items()}
        assert [model for model, _ in shop.models.calls] == [CHAT]
        await check_costs(shop, run, 1)
    assert "a red kite over the sea" in json.dumps(run["output"])
    assert {label for label, status in statuses.items() if status != "skipped"} == {"improve"}


async def test_a_workflow_within_is_run_over_a_list_and_every_item_is_paid_for(tmp_path: Path) -> None:
    words = ["one", "two two", "three three three"]
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(story=STORY)
        await shop.publish(stories=STORIES)
        run = await shop.run("stories", input={"words": words})
        steps = await shop.steps(run["id"])
        assert len(shop.models.calls) == 6
        assert {call.context.workflow for _, call in shop.models.calls} == {"stories@1"}
        await check_costs(shop, run, 6)
        more = await shop.run("stories", input={"words": [*words, "four"]})
        assert len(shop.models.calls) == 8
        await check_costs(shop, more, 2)
    assert run["output"] == {"texts": words, "joined": "|".join(words)}
    assert {f"each.{item}/{node}" for item in range(3) for node in ("say", "loud")} <= steps.keys()
    assert steps["each.2/say"]["node"] == "each/say"


async def test_a_run_that_is_deleted_takes_its_results_along_and_nothing_that_later_runs_show(tmp_path: Path) -> None:
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(banner=BANNER)
        first = await shop.run("banner", input=TALK)
        second = await shop.run("banner", input=TALK)
        assert len(shop.models.calls) == 2
        gone = await shop.client.delete(f"/v1/runs/{first['id']}")
        assert gone.status_code == 204, gone.text
        paths = [f"/v1/runs/{first['id']}{part}" for part in ("", "/steps", "/events")]
        absent = [await shop.client.get(path) for path in (*paths, first["output"]["banner"]["asset"]["url"])]
        assert [answer.status_code for answer in absent] == [404] * 4
        assert await size_at(shop, second["output"]["banner"]) == (32, 32)
        third = await shop.run("banner", input=TALK)
        assert len(shop.models.calls) == 4
        assert third["output"]["words"] == first["output"]["words"]


async def test_adapters_of_a_workflow_within_are_those_that_it_names(tmp_path: Path) -> None:
    inner = workflow(
        {
            "say": chat("hello", adapters=["formal", {"name": "terse", "scale": 0.5}]),
            "as": chat("hello", adapters=[of("style")]),
        },
        {"said": ("say", "text"), "styled": ("as", "text")},
        {"style": {"type": "adapter", "default": "terse"}},
    )
    outer = workflow(
        {
            "one": {"type": "workflow:inner@1"},
            "each": {
                "type": "workflow:inner@1",
                "inputs": {"style": ["formal", {"name": "terse", "scale": 2}]},
                "map": ["style"],
            },
        },
        {"said": ("one", "said"), "styled": ("one", "styled"), "each": ("each", "styled")},
    )
    async with workflow_platform(tmp_path) as shop:
        ids = [await bring(shop, name) for name in ("formal", "terse")]
        await shop.publish(inner=inner)
        await shop.publish(outer=outer)
        run = await shop.run("outer")
        tags = [f"{one.partition('/')[2].partition('@')[0]}@{one.partition('sha256:')[2][:8]}" for one in ids]
        await check_costs(shop, run, 4)
    formal, terse = tags
    assert run["output"] == {
        "said": f"[{formal} x 1, {terse} x 0.5] hello",
        "styled": f"[{terse} x 1] hello",
        "each": [f"[{formal} x 1] hello", f"[{terse} x 2] hello"],
    }
    assert {adapter["id"] for adapter in run["adapters"]} == set(ids)


async def test_an_adapter_that_was_replaced_makes_another_result(tmp_path: Path) -> None:
    inner = workflow({"say": chat("hello", adapters=["formal"], seed=1)}, {"said": ("say", "text")})
    outer = workflow({"sub": {"type": "workflow:inner@1"}}, {"said": ("sub", "said")})
    async with workflow_platform(tmp_path) as shop:
        said, calls = [], []
        await bring(shop, "formal")
        await shop.publish(inner=inner)
        await shop.publish(outer=outer)
        for fill in (0.5, 0.5, 0.75):
            await bring(shop, "formal", fill)
            said.append((await shop.run("outer"))["output"]["said"])
            calls.append(len(shop.models.calls))
    assert calls == [1, 1, 2]
    assert said[0] == said[1] != said[2]


async def bring(shop: WorkflowPlatform, name: str, fill: float = 0.5) -> str:
    files = [("file", (path, data)) for path, data in language_adapter(fill).items()]
    answer = await shop.client.post("/v1/adapters", data={"name": name}, files=files)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


async def test_a_node_that_cannot_run_needs_no_adapter(tmp_path: Path) -> None:
    spec = workflow(
        {
            "off": chat("a", adapters=["nobody"]) | {"when": of("flag")},
            "none": chat(of("words"), adapters=["nobody"]) | {"map": ["prompt"]},
            "said": {"type": "op:first", "inputs": {"value_1": ref("off", "text"), "value_2": "nothing"}},
        },
        {"said": ("said", "value"), "none": ("none", "text")},
        {"flag": "boolean", "words": "list[text]"},
    )
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(off=spec)
        run = await shop.run("off", input={"flag": False, "words": []})
        refused = await shop.client.post("/v1/workflows/off/runs", json={"input": {"flag": True, "words": []}})
    assert run["output"] == {"said": "nothing", "none": []}
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "adapter_not_found")
