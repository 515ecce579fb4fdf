"""`slipway node prepare` and `slipway migrate`: what a pod's init container runs before Ray."""

import asyncio
import stat
from pathlib import Path

import pytest
from fakes.databases import new_sqlite
from fakes.processes import free_ports
from typer.testing import CliRunner, Result

from serve.auth.access import Scope
from serve.auth.keys import Keys
from serve.auth.tokens import admin_token
from serve.cli.main import build_app
from serve.clock import SystemClock
from serve.gateway.client_addresses import peer_word
from serve.storage.records import Records

SECRET = "an admin secret of forty characters, or so"


class Pod:
    """An init container: its variables, its folders, its command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.admin_file = folder / "admin"
        self.admin_file.write_text(SECRET + "\n")
        self.environment = {
            "SLIPWAY_RAY_TOKEN": "the-token-of-ray",
            "SLIPWAY_STORAGE_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'slipway.db'}",
            **{f"SLIPWAY_STORAGE_{name}_DIR": str(folder / name.lower()) for name in ("DATA", "STATE", "CACHE")},
        }

    def run(self, *arguments: str, **variables: str) -> Result:
        """`slipway ...`."""
        return CliRunner().invoke(build_app(), list(arguments), env=self.environment | variables)

    def prepare(self, *arguments: str, **variables: str) -> Result:
        """`slipway node prepare ...`, with HAProxy's files in this pod's folder."""
        return self.run("node", "prepare", "--haproxy-folder", str(self.folder / "haproxy"), *arguments, **variables)

    @property
    def database_url(self) -> str:
        """Where its database is."""
        return self.environment["SLIPWAY_STORAGE_DATABASE_URL"]


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """One that was never started."""
    return Pod(tmp_path)


def scopes_of(url: str, key: str) -> frozenset[Scope]:
    """What `key` may do; raises Unauthenticated if it opens nothing."""

    async def ask() -> frozenset[Scope]:
        records = Records(url)
        try:
            return frozenset((await Keys(records, SystemClock(), 0).authenticate(key)).scopes)
        finally:
            await records.close()

    return asyncio.run(ask())


def test_a_workers_preparation_touches_no_database(pod: Pod):
    result = pod.prepare()
    assert result.exit_code == 0, result.output
    assert not (pod.folder / "slipway.db").exists()
    assert (pod.folder / "state/journals").is_dir()


def test_the_launcher_is_executable_for_this_user_alone_and_has_the_word_that_the_gateway_believes(pod: Pod):
    pod.prepare()
    launcher = pod.folder / "haproxy/haproxy"
    assert stat.S_IMODE(launcher.stat().st_mode) == 0o700
    assert peer_word("the-token-of-ray") in launcher.read_text()
    assert "the-token-of-ray" not in launcher.read_text()


def test_without_haproxy_no_launcher_is_written_and_no_token_needed(pod: Pod):
    assert pod.prepare(SLIPWAY_RAY_HA_PROXY="false", SLIPWAY_RAY_TOKEN="").exit_code == 0
    assert not (pod.folder / "haproxy").exists()


def test_without_rays_token_it_says_what_is_missing(pod: Pod):
    result = pod.prepare(SLIPWAY_RAY_TOKEN="")
    assert result.exit_code == 2
    assert "SLIPWAY_RAY_TOKEN" in result.stderr


def test_the_heads_preparation_makes_the_schema_and_the_administrators_key(pod: Pod):
    result = pod.prepare("--head", "--admin-file", str(pod.admin_file))
    assert result.exit_code == 0, result.output
    assert SECRET not in result.output
    assert Scope.ADMIN in scopes_of(pod.database_url, admin_token(SECRET).text)


def test_the_admin_file_may_be_named_by_a_variable(pod: Pod):
    assert pod.prepare("--head", SLIPWAY_ADMIN_FILE=str(pod.admin_file)).exit_code == 0
    assert scopes_of(pod.database_url, admin_token(SECRET).text)


def test_a_head_that_is_prepared_again_says_the_same(pod: Pod):
    first, second = (pod.prepare("--head", "--admin-file", str(pod.admin_file)) for _ in range(2))
    assert (first.exit_code, first.output) == (second.exit_code, second.output) == (0, first.output)


@pytest.mark.parametrize(
    ("content", "said"), [("short", "at least 32"), ("slw_abc", "was not copied whole"), (None, "No such file")]
)
def test_an_admin_secret_that_is_none_stops_the_head_before_anything_is_migrated(
    pod: Pod, content: str | None, said: str
):
    pod.admin_file.unlink() if content is None else pod.admin_file.write_text(content)
    result = pod.prepare("--head", "--admin-file", str(pod.admin_file))
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (pod.folder / "slipway.db").exists()


def test_a_database_that_is_not_there_is_told_without_its_password(pod: Pod):
    (port,) = free_ports(1)
    url = f"postgresql+asyncpg://slipway:hidden@127.0.0.1:{port}/slipway"
    result = pod.prepare("--head", "--wait-seconds", "0", SLIPWAY_STORAGE_DATABASE_URL=url)
    assert result.exit_code == 3
    assert f"127.0.0.1:{port}" in result.stderr
    assert "hidden" not in result.output + result.stderr


def test_a_folder_that_cannot_be_written_is_named(pod: Pod):
    (pod.folder / "cache").write_text("a file in its place")
    result = pod.prepare()
    assert result.exit_code == 1
    assert str(pod.folder / "cache") in result.stderr
    assert "fsGroup" in result.stderr


def test_migrate_makes_the_schema_and_no_key(pod: Pod):
    result = pod.run("migrate")
    assert result.exit_code == 0, result.output
    assert (pod.folder / "slipway.db").exists()
    assert "key" not in result.output


def test_migrating_what_is_migrated_changes_nothing(pod: Pod):
    url = new_sqlite(pod.folder / "made.db")
    assert pod.run("migrate", SLIPWAY_STORAGE_DATABASE_URL=url).exit_code == 0


def test_two_heads_that_prepare_one_new_database_agree(pod: Pod, postgres_url: str):
    from serve.cli.node_preparation import prepare_head
    from serve.settings import Settings, StorageSettings

    storage = StorageSettings.model_validate({"database_url": postgres_url, "data_dir": pod.folder})
    settings = Settings(storage=storage)

    async def both() -> None:
        await asyncio.gather(*(asyncio.to_thread(prepare_head, settings, pod.admin_file, 30) for _ in range(2)))

    asyncio.run(both())
    assert Scope.ADMIN in scopes_of(postgres_url, admin_token(SECRET).text)
