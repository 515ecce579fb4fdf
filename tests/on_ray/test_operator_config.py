"""What the operator writes, on a real Ray: its pods' commands and environment, its RayService's configuration.

KubeRay's part is played by `fakes.ray_pod`; the operator's own functions do the rest, without a cluster between them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.platform import echo_document, wait_for
from fakes.ray_pod import RayPod, running_pod
from fakes.weights import model_files

from operators.desired.checks import problems
from operators.desired.objects import desired_objects
from operators.desired.strategy import Strategy
from operators.platform_api import PlatformApi
from operators.state import Manifest, Resource, World
from operators.syncing.documents import sync
from serve.auth.tokens import admin_token
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.platform import PlatformDocument
from serve.serving.serve_config import model_app

ADMIN_SECRET = "what the chart drew when it was installed"
ECHO, OTHER = model_app("echo"), model_app("other")
START_SECONDS = 240
CHANGE_SECONDS = 120


def world_of(models: Sequence[dict[str, Any]]) -> World:
    """A namespace with the default platform and these models."""
    platform = {"apiVersion": API_VERSION, "kind": "Platform", "metadata": {"name": "studio"}}
    return World(
        namespace="slipway",
        tenant="default",
        platform=Resource(PlatformDocument.model_validate(platform), uid="p"),
        models=tuple(Resource(ModelDocument.model_validate(each), uid=each["metadata"]["name"]) for each in models),
    )


def ray_service(world: World) -> Manifest:
    """The one that the operator would write; nothing in the documents may be wrong."""
    assert [problem for problem in problems(world) if problem.is_fatal] == []
    return next(each for each in desired_objects(world, Strategy.IN_PLACE) if each["kind"] == "RayService")


class Installation:
    """A pod, and the documents that it serves."""

    def __init__(self, pod: RayPod) -> None:
        self.pod = pod
        self.key = admin_token(ADMIN_SECRET).text

    def client(self) -> httpx.Client:
        """With the administrator's key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.pod.url, headers=headers, timeout=30, trust_env=False)

    def apply(self, *models: dict[str, Any]) -> None:
        """One pass of the operator: documents to the platform, then the configuration to Ray."""
        world = world_of(models)
        asyncio.run(self._sync(world))
        self.pod.deploy(ray_service(world))

    async def _sync(self, world: World) -> None:
        async with PlatformApi(self.pod.url, self.key) as api:
            catalogue = await api.catalogue(world.tenant)
            assert catalogue.is_answering, catalogue.message
            for action in sync(world, catalogue, ()):
                assert await api.execute(action, world.tenant) is None

    def wait_until_running(self, *applications: str) -> None:
        """Until Ray says so of all of them."""

        def are_running() -> bool:
            found = self.pod.applications()
            return all(found.get(name, {}).get("status") == "RUNNING" for name in applications)

        wait_for(are_running, START_SECONDS, f"{applications} run")

    def digest(self, model: str) -> str:
        """Of the document that Ray's configuration names."""
        deployments = self.pod.applications()[model_app(model)]["deployed_app_config"]["deployments"]
        return str(deployments[0]["user_config"]["digest"])

    def chat(self, model: str) -> int:
        """Ask for four tokens; how many there were."""
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
        with self.client() as client:
            answer = client.post("/v1/chat/completions", json=body)
        assert answer.is_success, answer.text
        return int(answer.json()["usage"]["completion_tokens"])


def model(name: str, **spec: Any) -> dict[str, Any]:
    """An echo model that may use adapters."""
    return echo_document(name, **{"adapters": {"enabled": True}} | spec)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two models; each test leaves it as it was found, or with other prices."""
    folder = tmp_path_factory.mktemp("pod")
    secrets = {
        "SLIPWAY_RAY_TOKEN": "the token of this Ray",
        "SLIPWAY_STORAGE_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/slipway.db",
    }
    with running_pod(folder, ray_service(world_of([])), secrets, ADMIN_SECRET) as pod:
        made = Installation(pod)
        made.wait_until_running("gateway", "runner", "ledger", "operations")
        wait_for(lambda: _is_up(made), START_SECONDS, "the gateway answers")
        made.apply(model("echo"), model("other"))
        made.wait_until_running(ECHO, OTHER)
        yield made


def _is_up(made: Installation) -> bool:
    try:
        with made.client() as client:
            return client.get("/v1/models").is_success
    except httpx.HTTPError:
        return False


def test_the_platform_that_the_operator_describes_answers_a_chat(installation: Installation):
    assert installation.chat("echo") > 0


@pytest.mark.parametrize(
    "change",
    [
        {"prices": {"completion": "0.40"}},
        {"card": {"title": "Another title"}},
        {"adapters": {"enabled": True, "pinned": ["default/one", "default/two"]}},
        {"queue": {"maxWaiting": 7}},
    ],
    ids=["price", "card", "adapter-list", "queue"],
)
def test_a_change_of_what_is_said_of_a_model_restarts_no_replica(installation: Installation, change: dict[str, Any]):
    before = {name: installation.pod.replicas(name) for name in installation.pod.applications()}
    changed = model("echo", **change)
    installation.apply(changed, model("other"))
    wanted = ModelDocument.model_validate(changed).digest()
    wait_for(lambda: installation.digest("echo") == wanted, CHANGE_SECONDS, "Ray has the new configuration")
    installation.wait_until_running(*before)
    assert {name: installation.pod.replicas(name) for name in before} == before
    assert installation.chat("echo") > 0


def test_other_weights_restart_that_model_alone(installation: Installation, tmp_path: Path):
    for name, content in model_files().items():
        (tmp_path / name).write_bytes(content)
    installation.apply(model("echo"), model("other"))
    installation.wait_until_running(ECHO, OTHER)
    before = {name: installation.pod.replicas(name) for name in installation.pod.applications()}
    installation.apply(model("echo", weights={"uri": tmp_path.as_uri()}), model("other"))

    def is_replaced() -> bool:
        found = installation.pod.replicas(ECHO)
        return bool(found) and not found & before[ECHO]

    wait_for(is_replaced, START_SECONDS, "the model has a new replica")
    installation.wait_until_running(*before)
    after = {name: installation.pod.replicas(name) for name in before}
    assert {name for name in before if after[name] != before[name]} == {ECHO}
    assert installation.chat("echo") > 0
