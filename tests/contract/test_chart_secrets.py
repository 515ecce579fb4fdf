"""Secrets that the chart made stay as they are when it is installed again: what is random is so once."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from fakes.chart import HELM, NO_HELM, Manifest, only, render

from operators.chart.rendering import HelmFailed

pytestmark = pytest.mark.skipif(HELM is None, reason=NO_HELM)
_SECRETS = "/api/v1/namespaces/slipway/secrets/"
_REDIS = "--set=redis.enabled=true"


def discovery(manifests: list[Manifest]) -> dict[str, Any]:
    """What an API server says of itself by path, one that knows the kinds of these."""
    known = {(each["apiVersion"], each["kind"]) for each in manifests}
    answers: dict[str, Any] = {
        "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
    }
    for version in {version for version, _ in known}:
        kinds = sorted(kind for of, kind in known if of == version)
        rows = [{"name": f"{kind.lower()}s", "kind": kind, "namespaced": True, "verbs": ["get"]} for kind in kinds]
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        answers[path] = {"kind": "APIResourceList", "groupVersion": version, "resources": rows}
    versions = sorted(version for version, _ in known if "/" in version)
    groups = {
        version.partition("/")[0]: {"groupVersion": version, "version": version.partition("/")[2]}
        for version in versions
    }
    listed = [{"name": name, "versions": [row], "preferredVersion": row} for name, row in groups.items()]
    return answers | {"/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}}


@contextmanager
def cluster_with(secrets: dict[str, Manifest]) -> Iterator[str]:
    """The address of an API server that has these Secrets and nothing else; it only answers Helm's questions."""
    answers = discovery(render(_REDIS))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found = answers.get(path) or secrets.get(path.removeprefix(_SECRETS))
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(found or missing).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kept_by_helm(secret: Manifest) -> Manifest:
    """As Helm leaves it when its release is uninstalled: its own, so that the next release may take it."""
    owner = {"meta.helm.sh/release-name": "slipway", "meta.helm.sh/release-namespace": "slipway"}
    metadata = secret["metadata"]
    return secret | {"metadata": metadata | {"annotations": metadata["annotations"] | owner}}


def installed(secrets: dict[str, Manifest]) -> dict[str, Manifest]:
    """The Secrets that the chart makes on a cluster that has some."""
    with cluster_with({name: kept_by_helm(secret) for name, secret in secrets.items()}) as address:
        made = render("--dry-run=server", "--disable-openapi-validation", f"--kube-apiserver={address}", _REDIS)
    return {each["metadata"]["name"]: each for each in made if each["kind"] == "Secret"}


def test_an_upgrade_keeps_every_random_value() -> None:
    first = installed({})
    again = installed(first)
    assert {name: each["data"] for name, each in again.items()} == {name: each["data"] for name, each in first.items()}


def test_a_key_that_is_missing_is_made_and_the_others_stay() -> None:
    first = installed({})
    less = first | {"slipway-metrics": first["slipway-metrics"] | {"data": {}}}
    again = installed(less)
    assert len(base64.b64decode(again["slipway-metrics"]["data"]["token"])) == 48
    assert again["slipway-database"]["data"] == first["slipway-database"]["data"]


def test_a_secret_of_somebody_elses_is_not_taken_over() -> None:
    theirs = {"slipway-admin": only(render(), "Secret", "admin")}
    with cluster_with(theirs) as address, pytest.raises(HelmFailed, match="cannot be imported"):
        render("--dry-run=server", "--disable-openapi-validation", f"--kube-apiserver={address}", _REDIS)


def test_the_databases_address_follows_its_password() -> None:
    password = base64.b64encode(b"of-old").decode()
    found = installed({"slipway-database": only(render(), "Secret", "database") | {"data": {"password": password}}})
    url = base64.b64decode(found["slipway-database"]["data"]["url"]).decode()
    assert url == "postgresql+asyncpg://slipway:of-old@slipway-database.slipway.svc:5432/slipway"
