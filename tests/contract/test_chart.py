"""The chart: what Helm makes of it is taken by an API server, is safe, and is what the rest of the project says."""

import base64
import itertools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.chart import (
    CHART,
    HELM,
    KUBERNETES,
    NO_HELM,
    ROOT,
    Manifest,
    check,
    containers,
    kinds,
    only,
    pods,
    render,
    render_values,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.chart.files import chart_files
from operators.chart.reference import described_values
from operators.chart.rendering import PRESETS, HelmFailed, rendered
from operators.chart.values import Values
from operators.permissions import PERMISSIONS
from serve.auth.tokens import admin_token

pytestmark = pytest.mark.skipif(HELM is None, reason=NO_HELM)
EVERYTHING = (
    "--set=redis.enabled=true",
    "--set=loadTest.enabled=true",
    "--set=priorityClasses.create=true",
    "--set=networkPolicies.egress.enabled=true",
    "--set=monitoring.podMonitor=true,monitoring.rules=true",
    "--set=image.pullSecrets={registry}",
)
EXISTING = "--set=secrets.create=false"
MADE = "written by `make render`; run it"
WAYS: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "everything": EVERYTHING,
    **{preset: (f"--values={CHART / f'values-{preset}.yaml'}",) for preset in PRESETS},
    **{f"{preset} with everything": (f"--values={CHART / f'values-{preset}.yaml'}", *EVERYTHING) for preset in PRESETS},
}


@pytest.fixture(scope="module", params=WAYS, ids=list(WAYS))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(*WAYS[request.param])


# --- What an API server takes


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_helm_lint_has_nothing_to_say(way: tuple[str, ...]) -> None:
    done = subprocess.run(
        [str(HELM), "lint", "--strict", str(CHART), *way], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


def test_every_object_is_one_that_an_api_server_takes(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        check(manifest)


def test_no_two_objects_are_the_same_one(manifests: list[Manifest]) -> None:
    keys = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(keys) == len(set(keys))


def test_everything_says_whose_it_is_and_where_it_goes(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        assert manifest["metadata"]["labels"]["app.kubernetes.io/part-of"] == "slipway"
        assert manifest["kind"] == "PriorityClass" or manifest["metadata"]["namespace"] == "slipway"


SWITCHES = (
    "platform.create",
    "secrets.create",
    "postgresql.enabled",
    "redis.enabled",
    "networkPolicies.enabled",
    "networkPolicies.egress.enabled",
    "priorityClasses.create",
    "monitoring.podMonitor",
    "monitoring.rules",
    "operator.serviceAccount.create",
    "loadTest.enabled",
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PRESETS), st.fixed_dictionaries({switch: st.booleans() for switch in SWITCHES}))
def test_any_combination_of_switches_makes_valid_objects(preset: str, switches: dict[str, bool]) -> None:
    chosen = ",".join(f"{switch}={str(on).lower()}" for switch, on in switches.items())
    for manifest in render(f"--set={chosen}", preset=preset):
        check(manifest)


# --- Safety


def test_every_pod_keeps_to_the_restricted_standard_and_more(manifests: list[Manifest]) -> None:
    for name, spec in pods(manifests):
        security = spec["securityContext"]
        assert security["runAsNonRoot"], name
        assert min(security["runAsUser"], security["runAsGroup"], security["fsGroup"]) > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        volumes = {key for volume in spec["volumes"] for key in volume} - {"name"}
        assert volumes <= {"secret", "emptyDir", "configMap", "projected", "persistentVolumeClaim"}, name
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_only_the_operator_talks_to_the_api_server(manifests: list[Manifest]) -> None:
    with_token = {name for name, spec in pods(manifests) if spec["automountServiceAccountToken"]}
    assert with_token == {"Deployment slipway-operator"}


def test_every_container_says_what_it_needs_and_which_image_it_is(manifests: list[Manifest]) -> None:
    for name, spec in pods(manifests):
        for container in containers(spec):
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert {"cpu", "memory", "ephemeral-storage"} <= requests.keys(), name
            assert {"memory", "ephemeral-storage"} <= limits.keys(), name
            assert re.search(r":[A-Za-z0-9][A-Za-z0-9._-]*$", container["image"]), name
            assert not container["image"].endswith(":latest"), name


def test_whatever_runs_on_is_probed(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            for container in manifest["spec"]["template"]["spec"]["containers"]:
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


def test_secrets_come_as_files_but_where_a_program_takes_nothing_else(manifests: list[Manifest]) -> None:
    from_variables = {
        name
        for name, spec in pods(manifests)
        for container in containers(spec)
        for variable in container.get("env", ())
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert from_variables <= {"StatefulSet slipway-objects"}


def test_only_the_gateway_is_open_to_everybody(manifests: list[Manifest]) -> None:
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    open_ports = [
        port["port"]
        for policy in policies
        for rule in policy.get("ingress", ())
        if not rule.get("from")
        for port in rule["ports"]
    ]
    assert open_ports == [8000]


def test_every_pod_is_under_a_network_policy(manifests: list[Manifest]) -> None:
    selectors = [each["spec"]["podSelector"] for each in manifests if each["kind"] == "NetworkPolicy"]
    for manifest in manifests:
        pod = manifest if manifest["kind"] == "Pod" else manifest.get("spec", {}).get("template", {})
        if pod.get("spec", {}).get("containers"):
            assert any(selects(selector, pod["metadata"]["labels"]) for selector in selectors), manifest["metadata"]


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels; of expressions, `In` and `Exists`."""
    expressions = selector.get("matchExpressions", [])
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        each["key"] in labels and labels[each["key"]] in each.get("values", [labels[each["key"]]])
        for each in expressions
    )


def test_rays_ports_are_for_ray_kuberay_and_prometheus_alone() -> None:
    policy = only(render(), "NetworkPolicy", "-ray")["spec"]
    peers = {
        str(port["port"]): [peer["podSelector"] for peer in rule.get("from", [])]
        for rule in policy["ingress"]
        if "ports" in rule
        for port in rule["ports"]
    }
    assert peers["8265"] == [{"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}}]
    assert peers["8080"] == [{"matchLabels": {"app.kubernetes.io/name": "prometheus"}}]
    [anywhere] = [rule for rule in policy["ingress"] if "ports" not in rule]
    assert anywhere["from"] == [{"podSelector": policy["podSelector"]}]


# --- Rights


def test_the_role_is_the_operators_table_in_its_own_namespace() -> None:
    manifests = render()
    role = only(manifests, "Role")
    found = [(rule["apiGroups"], rule["resources"], tuple(rule["verbs"])) for rule in role["rules"]]
    assert found == [([row.group], [row.resource], row.verbs) for row in PERMISSIONS]
    [namespaces] = [rule for rule in role["rules"] if rule["resources"] == ["namespaces"]]
    assert namespaces["resourceNames"] == [role["metadata"]["namespace"]]
    assert not {"ClusterRole", "ClusterRoleBinding"} & kinds(manifests)


def test_no_right_is_a_wildcard_or_opens_secrets() -> None:
    rules = only(render(), "Role")["rules"]
    assert "*" not in {word for rule in rules for field in rule.values() for word in field}
    assert not {"secrets", "pods/exec", "roles", "rolebindings"} & {
        each for rule in rules for each in rule["resources"]
    }


# --- What the chart knows by itself, and what values say


def test_the_platform_takes_what_is_bundled() -> None:
    spec = only(render("--set=redis.enabled=true"), "Platform")["spec"]
    assert spec["stores"]["objects"]["endpoint"] == "http://slipway-objects:8333"
    assert spec["ray"]["faultTolerance"]["redisAddress"] == "slipway-redis:6379"
    assert spec["stores"]["database"]["secret"] == {"name": "slipway-database", "key": "url"}
    assert spec["image"]["tag"] == "0.1.0-cpu"


def test_services_have_the_names_that_the_platform_is_told() -> None:
    manifests = render("--set=redis.enabled=true", EXISTING)
    ports = {
        each["metadata"]["name"]: each["spec"]["ports"][0]["port"] for each in manifests if each["kind"] == "Service"
    }
    assert ports == {"slipway-database": 5432, "slipway-objects": 8333, "slipway-redis": 6379}


def test_what_values_say_of_the_platform_goes_before_what_the_chart_knows(tmp_path: Path) -> None:
    spec = {"stores": {"objects": {"endpoint": "https://s3.example.com"}}, "image": {"tag": "mine"}}
    found = only(render_values(tmp_path, {"platform": {"spec": spec}}), "Platform")["spec"]
    assert found["stores"]["objects"] == {"endpoint": "https://s3.example.com", "secret": "slipway-objects"}
    assert (found["image"]["tag"], found["image"]["gpuTag"]) == ("mine", "0.1.0-gpu")


def test_a_version_and_its_digests_pin_all_three_images() -> None:
    digests = {
        variant: "sha256:" + letter * 64 for variant, letter in zip(("operator", "cpu", "gpu"), "abc", strict=True)
    }
    chosen = ",".join(f"image.digests.{variant}={digest}" for variant, digest in digests.items())
    manifests = render(f"--set={chosen}", "--set=image.version=1.2.3,image.repository=example.com/slipway")
    operator = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert operator == f"example.com/slipway:1.2.3-operator@{digests['operator']}"
    image = only(manifests, "Platform")["spec"]["image"]
    assert (image["tag"], image["digest"]) == ("1.2.3-cpu", digests["cpu"])
    assert (image["gpuTag"], image["gpuDigest"]) == ("1.2.3-gpu", digests["gpu"])


def test_priority_classes_reach_the_platform_and_its_pools() -> None:
    manifests = render("--set=priorityClasses.create=true", preset="single-gpu")
    names = {each["metadata"]["name"] for each in manifests if each["kind"] == "PriorityClass"}
    spec = only(manifests, "Platform")["spec"]
    used = {spec["ray"]["head"]["priorityClass"], *(pool["priorityClass"] for pool in spec["pools"])}
    used.add(only(manifests, "Deployment")["spec"]["template"]["spec"]["priorityClassName"])
    assert used == names


def test_a_later_file_takes_a_model_out(tmp_path: Path) -> None:
    (tmp_path / "less.yaml").write_text("models: {shapes-sd: null}")
    names = {
        each["metadata"]["name"]
        for each in render(f"--values={tmp_path / 'less.yaml'}", preset="laptop")
        if each["kind"] == "Model"
    }
    assert names == {"smollm2-135m-instruct"}


def test_monitoring_comes_where_the_cluster_knows_its_kinds() -> None:
    assert not {"PodMonitor", "PrometheusRule"} & kinds(render())
    knows = [f"--api-versions=monitoring.coreos.com/v1/{kind}" for kind in ("PodMonitor", "PrometheusRule")]
    assert {"PodMonitor", "PrometheusRule"} <= kinds(render(*knows))
    assert "PodMonitor" not in kinds(render(*knows, "--set=monitoring.podMonitor=false"))


def test_further_objects_may_use_the_charts_values(tmp_path: Path) -> None:
    object_ = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}
    text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Values.platform.name }}-text"}'
    found = render_values(tmp_path, {"extraObjects": [object_, text]})
    assert only(found, "ConfigMap", "-more")
    assert only(found, "ConfigMap", "-text")


def test_the_load_test_and_the_smoke_test_run_programs_that_there_are() -> None:
    for _, spec in pods(render("--set=loadTest.enabled=true")):
        for container in spec["containers"]:
            if container.get("command", [])[:2] == ["python", "-m"]:
                path = ROOT / container["command"][2].replace(".", "/")
                assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


# --- Secrets


def decoded(secret: Manifest) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def test_secrets_are_random_and_fit_together() -> None:
    first, second = render("--set=redis.enabled=true"), render("--set=redis.enabled=true")
    names = {each["metadata"]["name"] for each in first if each["kind"] == "Secret"}
    assert names == {f"slipway-{name}" for name in ("admin", "ray-auth", "metrics", "database", "objects", "redis")}
    for name in names:
        one, other = decoded(only(first, "Secret", name)), decoded(only(second, "Secret", name))
        assert all(one[key] != other[key] for key in one)
        assert only(first, "Secret", name)["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    database = decoded(only(first, "Secret", "database"))
    assert database["url"] == (
        f"postgresql+asyncpg://slipway:{database['password']}@slipway-database.slipway.svc:5432/slipway"
    )
    assert admin_token(decoded(only(first, "Secret", "admin"))["admin"]).text.startswith("slw_")


def test_with_secrets_of_your_own_nothing_is_random() -> None:
    first, second = (render(EXISTING, preset="laptop") for _ in range(2))
    assert first == second
    assert "Secret" not in kinds(first)


def test_every_secret_that_is_named_is_one_that_the_chart_makes() -> None:
    manifests = render("--set=redis.enabled=true", "--set=loadTest.enabled=true")
    made = {each["metadata"]["name"]: set(each["data"]) for each in manifests if each["kind"] == "Secret"}
    for _, spec in pods(manifests):
        for volume in spec["volumes"]:
            if "secret" in volume:
                assert {item["key"] for item in volume["secret"]["items"]} <= made[volume["secret"]["secretName"]]
    spec = only(manifests, "Platform")["spec"]
    named = [
        spec["stores"]["database"]["secret"],
        spec["ray"]["faultTolerance"]["redisPassword"],
        spec["observability"]["metricsSecret"],
        {"name": spec["adminSecret"], "key": "admin"},
        {"name": spec["ray"]["authSecret"], "key": "auth_token"},
        *({"name": spec["stores"]["objects"]["secret"], "key": key} for key in ("access-key", "secret-key")),
    ]
    assert all(each["key"] in made[each["name"]] for each in named)


# --- Values


def test_values_are_those_of_the_classes() -> None:
    given = yaml.safe_load((CHART / "values.yaml").read_text())
    known = Values.model_validate(given)
    assert given.keys() | {"global"} == known.model_dump(by_alias=True).keys()
    assert known.platform == Values.model_fields["platform"].default
    for part in ("image", "secrets", "monitoring", "priorityClasses"):
        read = known.model_dump(by_alias=True)[part]
        assert given[part].keys() == read.keys(), part


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_says_only_what_there_is(preset: str) -> None:
    values = yaml.safe_load((CHART / f"values-{preset}.yaml").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    Values.model_validate(_laid_over(defaults, values))


def _laid_over(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {key: _laid_over(under.get(key), value) for key, value in over.items()}
    return over


def test_values_are_described() -> None:
    text = (CHART / "values.yaml").read_text()
    described = {value.path for value in described_values(text)}
    switches = {".".join(path) for path in _leaves(yaml.safe_load(text)) if path[-1] in ("enabled", "create", "image")}
    stores = {f"{store}.image" for store in ("postgresql", "seaweedfs", "redis")}
    assert switches - stores <= described


def _leaves(values: Any, *path: str) -> list[tuple[str, ...]]:
    if not isinstance(values, dict) or not values:
        return [path]
    return list(itertools.chain.from_iterable(_leaves(value, *path, key) for key, value in values.items()))


NONSENSE: list[tuple[str, str]] = [
    ("nonsense=1", "additional properties 'nonsense' not allowed"),
    ("image.version=latest", "image.version is latest"),
    ("platform.spec.image.gpuTag=latest", "platform.spec.image.gpuTag is latest"),
    ("postgresql.image=postgres:latest", "postgresql.image is latest"),
    ("postgresql.image=postgres", "/postgresql/image"),
    ("image.digests.cpu=sha256:12", "/image/digests/cpu"),
    ("platform.spec.pools[0].gpuPerNode=1", "additional properties 'gpuPerNode' not allowed"),
    ("platform.name=Not_a_name", "/platform/name"),
    ("models.UPPER.family=llm", "additional properties 'UPPER' not allowed"),
    ("models.shapes-sd.placment.gpus=1", "additional properties 'placment' not allowed"),
    ("models.shapes-sd.engine.kind=foo", "must be one of 'diffusion', 'echo', 'transformers', 'vllm'"),
    ("models.shapes-sd.engine.maxPixels=-1", "/models/shapes-sd/engine/maxPixels"),
    ("models.shapes-sd.placement.pool=h100", "platform.spec.pools has only default"),
    ("operator.logLevel=LOUD", "must be one of 'DEBUG'"),
    ("operator.settings.PATH=x", "additional properties 'PATH' not allowed"),
    ("networkPolicies.monitoringFrom=null", "missing property 'monitoringFrom'"),
    ("monitoring.rules=perhaps", "/monitoring/rules"),
    ("seaweedfs.enabled=false", "set platform.spec.stores.objects.endpoint"),
]


@pytest.mark.parametrize(("value", "said"), NONSENSE, ids=[value for value, _ in NONSENSE])
def test_nonsense_is_refused_in_words_that_help(value: str, said: str) -> None:
    with pytest.raises(HelmFailed, match=re.escape(said)):
        render(f"--set={value}", preset="laptop")


def test_networks_that_are_open_by_mistake_are_refused() -> None:
    with pytest.raises(HelmFailed, match="/networkPolicies/kuberayFrom"):
        render("--set-json=networkPolicies.kuberayFrom=[]")


# --- What is made from the rest of the project


@pytest.mark.parametrize("path", sorted(chart_files(CHART)))
def test_a_made_file_of_the_chart_is_as_it_is_made(path: str) -> None:
    assert (CHART / path).read_text() == chart_files(CHART)[path], MADE


def test_nothing_else_lies_among_the_made_files() -> None:
    found = {str(path.relative_to(CHART)) for path in (CHART / "files").rglob("*") if path.is_file()}
    assert found == {path for path in chart_files(CHART) if path.startswith("files/")}


def test_the_manifests_are_the_chart_rendered_and_hold_no_secret() -> None:
    files = rendered(CHART)
    for path, text in files.items():
        assert (ROOT / "k8s" / path).read_text() == text, f"k8s/{path} is {MADE}"
        assert "kind: Secret\n" not in text
    folders = {path.split("/")[0] for path in files}
    lying = {str(path.relative_to(ROOT / "k8s")) for name in folders for path in (ROOT / "k8s" / name).glob("*")}
    assert lying == set(files)


def test_the_chart_says_which_kubernetes_it_is_for() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert render(f"--kube-version={KUBERNETES}.0")
    with pytest.raises(HelmFailed, match=re.escape(chart["kubeVersion"])):
        render("--kube-version=1.28.0")
