"""Room for pictures in a gateway: one tenant's slow servers and large bodies hold up nobody else, nor fill memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.asgi import Exchange
from fakes.gateway import settings_in
from fakes.images import PAINTER, Studio, picture, studio
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.domain.errors import Overloaded
from serve.domain.names import TenantName
from serve.gateway import image_inputs
from serve.gateway.app import create_app
from serve.gateway.body_budget import BodyBudget, HeldBytes
from serve.gateway.tenant_places import TenantPlaces
from serve.settings import ImagesSettings, RunsSettings, Settings

RUNS, EDITS = f"/v1/models/{PAINTER}/runs", "/v1/images/edits"
ACME, OTHER = TenantName("acme"), TenantName("other")


def fetched(host: str) -> dict[str, Any]:
    return {"task": "image_to_image", "input": {"prompt": "a", "image": f"https://{host}/a.png"}}


class Downloads:
    """The network: `tarpit` never answers, every other host has a picture."""

    def __init__(self) -> None:
        self.num_stuck = 0

    async def get(self, url: str, *, max_bytes: int, timeout: float, param: str) -> bytes:
        if "tarpit" in url:
            self.num_stuck += 1
            await asyncio.sleep(600)
        return picture()


def client_of(app: FastAPI, key: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(
        transport=transport, base_url="http://slipway", headers={"authorization": f"Bearer {key}"}, timeout=30
    )


@asynccontextmanager
async def gateway_that_fetches(folder: Path, **images: Any) -> AsyncIterator[tuple[Studio, FastAPI, Downloads]]:
    settings = settings_in(folder, images=ImagesSettings(**images), runs=RunsSettings(poll_seconds=0.02))
    downloads = Downloads()
    async with studio(folder, settings, is_open=False) as made:
        yield made, create_app(replace(made.made.services, downloads=downloads)), downloads


# --- what is fetched


async def test_a_tenants_tarpits_hold_up_its_own_fetches_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_inputs, "_FETCH_WAIT_SECONDS", 0.2)
    async with gateway_that_fetches(tmp_path / "s") as (made, app, downloads):
        mine, theirs = client_of(app, made.made.key), client_of(app, made.made.other_key)
        stuck = [asyncio.create_task(mine.post(RUNS, json=fetched("tarpit"))) for _ in range(12)]
        async with asyncio.timeout(50):
            while downloads.num_stuck < 4:
                await asyncio.sleep(0.01)
            other = await theirs.post(RUNS, json=fetched("example.com"))
            own = await mine.post(EDITS, data={"model": PAINTER, "prompt": "a"}, files={"image": b"no picture"})
            refused = await mine.post(RUNS, json=fetched("example.com"))
        assert (other.status_code, own.json()["error"]["code"]) == (202, "unsupported_image")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert downloads.num_stuck == 4
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert (await mine.post(RUNS, json=fetched("example.com"))).status_code == 202, "places come back"
        await asyncio.gather(mine.aclose(), theirs.aclose())


async def test_places_are_forgotten_with_their_last_user() -> None:
    places = TenantPlaces(1, 0.01)
    async with places.place(ACME, "x"):
        async with places.place(OTHER, "x"):
            pass
        with pytest.raises(Overloaded):
            async with places.place(ACME, "x"):
                raise AssertionError("there was one place")
    assert places._places_of == {}


async def test_what_is_fetched_takes_room_too(tmp_path: Path):
    async with gateway_that_fetches(tmp_path / "s", max_held_bytes=2**20) as (made, app, _):
        held = holder(made, app, 2**19 - 100)
        sending = await held.held()
        async with client_of(app, made.made.key) as client:
            refused = await client.post(RUNS, json=fetched("example.com"))
            held.leave()
            await asyncio.wait_for(sending, 50)
            taken = await client.post(RUNS, json=fetched("example.com"))
    assert (refused.status_code, taken.status_code) == (429, 202)


# --- bodies


class Trickle(Exchange):
    """A client that declares its body, and never sends the rest."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.is_read = asyncio.Event()

    async def held(self) -> "asyncio.Task[None]":
        """Send it; it has taken its room."""
        task = self.start()
        await asyncio.wait_for(self.is_read.wait(), 50)
        return task

    async def _receive(self) -> Any:
        if not self._is_sent:
            self._is_sent = True
            return {"type": "http.request", "body": self._body, "more_body": True}
        self.is_read.set()
        await self._gone.wait()
        return {"type": "http.disconnect"}


def holder(made: Studio, app: FastAPI, num_bytes: int, key: str | None = None, path: str = RUNS) -> Trickle:
    headers = {"authorization": f"Bearer {key or made.made.key}", "content-length": str(num_bytes)}
    if path == EDITS:
        headers["content-type"] = "multipart/form-data; boundary=x"
    return Trickle(app, path, b"--x\r\n" if path == EDITS else b'{"task"', headers)


@pytest.mark.parametrize("path", [RUNS, EDITS])
async def test_declared_bodies_take_their_room_before_they_come_and_give_it_back(tmp_path: Path, path: str):
    async with gateway_that_fetches(tmp_path / "s", max_held_bytes=4 * 2**20) as (made, app, _):
        size = 3 * 2**19
        first, second = holder(made, app, size, path=path), holder(made, app, size, path=path)
        theirs, third = (holder(made, app, size, key=made.made.other_key, path=path) for _ in range(2))
        tasks = [await first.held()]
        await asyncio.wait_for(second.run(), 50)
        tasks.append(await theirs.held())
        await asyncio.wait_for(third.run(), 50)
        async with client_of(app, made.made.key) as client:
            chat = await client.post("/v1/chat/completions", json={"model": "echo-chat", "messages": _MESSAGES})
        for one in (first, theirs):
            one.leave()
        await asyncio.wait_for(asyncio.gather(*tasks), 50)
        again = holder(made, app, size, path=path)
        task = await again.held()
        again.leave()
        await asyncio.wait_for(task, 50)
    for refused in (second, third):
        assert refused.status == 429
        assert json.loads(refused.body)["error"]["code"] == "overloaded"
        assert b"retry-after" in dict(refused.sent[0]["headers"])
    assert (first.sent, theirs.sent) == ([], []), "half of the room is one tenant's"
    assert chat.status_code == 200


_MESSAGES = [{"role": "user", "content": "hi"}]


async def test_a_body_of_unknown_length_is_counted_as_it_comes(tmp_path: Path):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 2**16

    async with gateway_that_fetches(tmp_path / "s", max_held_bytes=4 * 2**20) as (made, app, _):
        held = holder(made, app, 2**20)
        sending = await held.held()
        async with client_of(app, made.made.key) as client:
            refused = await client.post(RUNS, content=chunks())
            held.leave()
            await asyncio.wait_for(sending, 50)
            alone = await client.post(RUNS, content=chunks())
    assert refused.status_code == 429
    assert alone.json()["error"]["code"] == "invalid_json", "whoever is alone is let in"


@pytest.mark.parametrize("path", [RUNS, EDITS])
async def test_a_request_that_only_waits_for_its_pictures_holds_no_room(tmp_path: Path, path: str):
    async with gateway_that_fetches(tmp_path / "s", max_held_bytes=2**20) as (made, app, _):
        large = picture() + bytes(400_000)
        form = {"data": {"model": PAINTER, "prompt": "a"}, "files": {"image": ("a.png", large)}}
        body = {"task": "text_to_image", "input": {"prompt": "a"}, "metadata": None}
        async with client_of(app, made.made.key) as client:
            json_body = json.dumps({k: v for k, v in body.items() if v}).encode() + b" " * 400_000
            sent: dict[str, Any] = form if path == EDITS else {"content": json_body, "headers": {"prefer": "wait=30"}}
            waiting = []
            for num in range(1, 4):
                waiting.append(asyncio.create_task(client.post(path, **sent)))
                async with asyncio.timeout(50):
                    while len(await made.made.services.runs.list(TenantName("default"))) < num:
                        assert not waiting[-1].done(), waiting[-1].result().text
                        await asyncio.sleep(0.01)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def budget(num_bytes: int, folder: Path) -> BodyBudget:
    class OnlySettings:
        settings: Settings = settings_in(folder, images=ImagesSettings(max_held_bytes=num_bytes))

    services: Any = OnlySettings()
    return BodyBudget(services)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([ACME, OTHER]), st.integers(0, 2**20), st.booleans()), max_size=40))
def test_the_room_is_never_exceeded_and_all_of_it_comes_back(steps: list[tuple[TenantName, int, bool]]) -> None:
    room = budget(2**20, Path("/nowhere"))
    open_: list[tuple[TenantName, HeldBytes, list[int]]] = []
    for tenant, num_bytes, is_released in steps:
        held = HeldBytes(room, tenant)
        try:
            held.grow_to(num_bytes // 2)
            held.grow_by(num_bytes - num_bytes // 2)
        except Overloaded:
            held.release()
            continue
        open_.append((tenant, held, [num_bytes]))
        of_tenant = [sizes[0] for name, _, sizes in open_ if name == tenant and sizes[0]]
        assert len(of_tenant) <= 1 or sum(of_tenant) <= 2**19
        if is_released:
            open_.pop(0)[1].release()
    for _, held, _ in open_:
        held.release()
        held.release()
    assert (room._num_held, room._num_held_of) == (0, {})


def test_a_closed_hold_takes_nothing_more(tmp_path: Path) -> None:
    room = budget(2**20, tmp_path)
    with room.holding(ACME) as held:
        held.grow_to(7)
        held.grow_to(3)
        assert room._num_held == 7
    held.grow_by(9)
    assert room._num_held == 0
