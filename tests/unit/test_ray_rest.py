"""What Ray's REST API answers, and what is made of it."""

import httpx
import pytest

from serve.domain.errors import EngineFailed
from serve.serving import ray_rest
from serve.serving.ray_rest import RayRest

CONFIG = {"applications": []}


class Head:
    """Ray's head, which answers these one after another."""

    def __init__(self, rest: RayRest, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        rest._client = httpx.AsyncClient(base_url="http://head", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        return self.answers.pop(0)


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> RayRest:
    monkeypatch.setattr(ray_rest, "_PAUSES_SECONDS", (0.0, 0.0))
    return RayRest("http://head", "token")


async def test_a_proxy_that_came_up_at_the_second_try_stops_nothing(rest: RayRest):
    head = Head(rest, httpx.Response(500, text="HAProxyManager.ready()"), httpx.Response(200))
    await rest.put(CONFIG)
    assert head.answers == []


async def test_what_never_works_is_said_with_the_end_of_its_traceback(rest: RayRest):
    Head(rest, *[httpx.Response(500, text="Traceback" + " " * 5000 + "cannot bind") for _ in range(3)])
    with pytest.raises(EngineFailed, match=r"with 500: .*cannot bind"):
        await rest.put(CONFIG)


async def test_a_configuration_that_ray_does_not_take_is_not_tried_again(rest: RayRest):
    head = Head(rest, httpx.Response(400, text="route_prefix"), httpx.Response(200))
    with pytest.raises(EngineFailed, match=r"with 400: route_prefix"):
        await rest.put(CONFIG)
    assert len(head.answers) == 1
