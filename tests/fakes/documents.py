"""Hypothesis strategies for valid documents, and the smallest ones.

What they draw is what the pydantic classes take: every optional part is there or not, names and numbers reach their
limits, and parts that must agree do.
"""

from typing import Any

from hypothesis import strategies as st

from serve.domain.documents import API_VERSION, AdapterDocument, ModelDocument
from serve.domain.platform import PlatformDocument

Spec = dict[str, Any]
LETTERS = "abcdefghijklmnopqrstuvwxyz"

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
platform_names = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
object_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
label_values = st.from_regex(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?)?", fullmatch=True)
label_keys = st.sampled_from(["disk", "slipway.dev/node", "nvidia.com/gpu.product", "topology.kubernetes.io/zone"])
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
digests = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
processors = st.sampled_from(["250m", "500m", "1", "4", "7.5", "64"])
memories = st.sampled_from(["512Mi", "1Gi", "8Gi", "64Gi", "1.5Ti", "2000M"])
disks = st.sampled_from(["1Gi", "50Gi", "200Gi", "2Ti"])
seconds = st.integers(0, 7200)
dollars = st.sampled_from(["0", "0.002", "1.25", "12"])


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    """A mapping with any of `fields`."""
    return st.fixed_dictionaries({}, optional=fields)


def with_all(required: dict[str, st.SearchStrategy[Any]], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    """A mapping with all of `required`, and any of `fields`."""
    return st.fixed_dictionaries(required, optional=fields)


def envelope(kind: str, name: str, spec: Spec, labels: dict[str, str] | None = None) -> Spec:
    """A document as its file has it."""
    metadata = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


# --- Platform

secret_keys = st.fixed_dictionaries({"name": object_names, "key": st.sampled_from(["url", "token", "a.b_c-D"])})
resources = some(cpu=processors, memory=memories, ephemeralStorage=disks)
node_selectors = st.dictionaries(label_keys, label_values, max_size=3)


@st.composite
def tolerations(draw: st.DrawFn) -> Spec:
    """One taint that pods put up with."""
    effect = draw(st.sampled_from([None, "NoSchedule", "PreferNoSchedule", "NoExecute"]))
    found: Spec = {} if effect is None else {"effect": effect}
    if effect == "NoExecute" and draw(st.booleans()):
        found["tolerationSeconds"] = draw(seconds)
    if draw(st.booleans()):
        return found | {"operator": "Exists"} | draw(some(key=label_keys))
    return found | {"key": draw(label_keys)} | draw(some(value=label_values, operator=st.just("Equal")))


AFFINITY = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app": "other"}},
                },
            }
        ]
    }
}


@st.composite
def pools(draw: st.DrawFn) -> Spec:
    """A pool, with GPUs or without."""
    least, more = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    pool = draw(
        with_all(
            {"name": names.filter(lambda name: name != "headgroup")},
            resources=resources,
            surgeNodes=st.integers(0, 4),
            sharedMemory=memories,
            nodeSelector=node_selectors,
            tolerations=st.lists(tolerations(), max_size=3),
            affinity=st.sampled_from([{}, AFFINITY]),
            runtimeClass=object_names,
            priorityClass=object_names,
        )
    )
    pool |= {"minNodes": least, "maxNodes": max(least + more, 1)}
    if draw(st.booleans()):
        pool |= {"gpusPerNode": draw(st.integers(1, 64))}
        pool |= draw(
            some(accelerator=st.just("nvidia-h200"), gpuResource=st.sampled_from(["nvidia.com/gpu", "amd.com/gpu"]))
        )
    elif draw(st.booleans()):
        pool["cpu"] = True
    return pool


@st.composite
def caches(draw: st.DrawFn) -> Spec:
    """The cache volume, in one of its three places."""
    place = draw(st.sampled_from([{}, {"storageClass": "fast"}, {"claim": "weights"}]))
    return place | draw(some(sizeLimit=disks))


@st.composite
def gateways(draw: st.DrawFn) -> Spec:
    """The HTTP front."""
    least, more = draw(st.integers(1, 50)), draw(st.integers(0, 50))
    gateway = draw(
        some(
            host=st.sampled_from(["", "llm.example.com"]),
            serviceType=st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
            ingressClass=object_names,
            tlsSecret=object_names,
            annotations=st.dictionaries(st.sampled_from(["example.com/a", "b"]), texts, max_size=2),
            maxOngoingRequests=st.integers(1, 10_000),
        )
    )
    expose = draw(st.sampled_from(["none", "ingress", "gateway"]))
    parent = with_all({"name": object_names}, namespace=object_names, section=object_names)
    if expose == "gateway" or draw(st.booleans()):
        gateway["parent"] = draw(parent)
    return gateway | {"minReplicas": least, "maxReplicas": least + more, "expose": expose}


images = some(
    repository=st.sampled_from(["slipway", "registry.example.com:5000/team/slipway"]),
    tag=st.sampled_from(["0.1.0-cpu", "v1"]),
    gpuTag=st.sampled_from(["0.1.0-gpu", "v1-gpu"]),
    digest=digests,
    gpuDigest=digests,
    pullPolicy=st.sampled_from(["Always", "IfNotPresent", "Never"]),
    pullSecrets=st.lists(object_names, max_size=2, unique=True),
)
fault_tolerance = with_all({"redisAddress": st.just("redis:6379")}, redisPassword=secret_keys)
heads = some(
    resources=resources,
    nodeSelector=node_selectors,
    tolerations=st.lists(tolerations(), max_size=2),
    priorityClass=object_names,
)
platform_specs = with_all(
    {"pools": st.lists(pools(), min_size=1, max_size=4, unique_by=lambda pool: pool["name"])},
    image=images,
    ray=some(
        authSecret=object_names,
        faultTolerance=fault_tolerance,
        head=heads,
        idleTimeoutSeconds=st.integers(10, 86_400),
        upscalingMode=st.sampled_from(["Default", "Aggressive", "Conservative"]),
    ),
    stores=some(
        database=some(secret=secret_keys),
        objects=some(
            endpoint=st.sampled_from(["", "https://s3.example.com"]), region=st.just("eu-1"), secret=object_names
        ),
        cache=caches(),
        journalSizeLimit=disks,
    ),
    gateway=gateways(),
    runner=some(replicas=st.integers(1, 9), maxConcurrency=st.integers(1, 99)),
    ledger=some(replicas=st.integers(1, 16)),
    operations=some(
        replicas=st.integers(1, 9), maxConcurrency=st.integers(1, 64), cpus=st.sampled_from([0.1, 2.5, 64])
    ),
    upgrade=some(
        strategy=st.sampled_from(["Auto", "InPlace", "Incremental"]),
        gatewayClass=object_names,
        stepPercent=st.integers(1, 100),
        intervalSeconds=st.integers(1, 3600),
        maxSurgePercent=st.integers(1, 100),
    ),
    observability=some(
        podMonitor=st.booleans(),
        metricsSecret=secret_keys,
        otlpEndpoint=st.sampled_from(["", "http://collector:4318"]),
        logLevel=st.sampled_from(["DEBUG", "INFO", "WARNING", "ERROR"]),
    ),
    drain=some(graceSeconds=st.integers(10, 7200)),
    adminSecret=object_names,
    settings=st.dictionaries(
        st.sampled_from(
            ["SLIPWAY_RUNS_RETENTION_DAYS", "SLIPWAY_GATEWAY_MAX_IN_FLIGHT", "HF_ENDPOINT", "SLIPWAY_NO_SUCH"]
        ),
        st.sampled_from(["7", "100", "nonsense"]),
        max_size=3,
    ),
    settingsFrom=st.lists(object_names, max_size=2, unique=True),
)
platform_bodies = st.builds(lambda name, spec: envelope("Platform", name, spec), platform_names, platform_specs)
platforms = platform_bodies.map(PlatformDocument.model_validate)


# --- Model

vllm = with_all(
    {"kind": st.just("vllm")},
    maxModelLen=st.integers(16, 2**20),
    maxConcurrency=st.integers(1, 4096),
    dtype=st.sampled_from(["auto", "bfloat16"]),
    gpuMemoryUtilization=st.sampled_from([0.1, 0.9, 1]),
    enforceEager=st.booleans(),
    maxNumBatchedTokens=st.integers(64, 65_536),
    toolParser=st.just("hermes"),
)
pooling = with_all(
    {"kind": st.just("transformers")}, maxModelLen=st.integers(16, 8192), maxConcurrency=st.integers(1, 256)
)
diffusion = with_all(
    {"kind": st.just("diffusion")},
    maxConcurrency=st.integers(1, 1024),
    maxRows=st.integers(2, 256),
    variant=st.just("fp16"),
    compile=st.booleans(),
)
echo = with_all(
    {"kind": st.just("echo")}, tokenMs=st.sampled_from([0, 1.5, 60_000]), maxConcurrency=st.integers(1, 4096)
)
adapter_policies = some(
    enabled=st.booleans(),
    maxRank=st.integers(1, 512),
    maxResident=st.integers(1, 1024),
    maxHost=st.integers(1, 10_000),
    hostMemory=st.sampled_from(["1Gi", "512Mi"]),
    pinned=st.lists(st.sampled_from(["acme/style", "acme/other"]), max_size=2, unique=True),
)
engines_of: dict[tuple[str, str], st.SearchStrategy[tuple[Spec, bool]]] = {
    ("llm", "chat"): st.tuples(vllm | echo, st.booleans()),
    ("llm", "embedding"): st.tuples(pooling, st.just(False)),
    ("text_to_image", "text_to_image"): st.tuples(diffusion | echo, st.booleans()),
    ("image_to_image", "image_to_image"): st.tuples(diffusion, st.booleans()),
}
"""By family and task: an engine, and whether it takes adapters."""


@st.composite
def scalings(draw: st.DrawFn) -> Spec:
    """A number of replicas, or a range."""
    scaling = draw(
        some(targetWaitSeconds=st.sampled_from([0.5, 2, 600]), idleSeconds=seconds, bufferReplicas=st.integers(0, 100))
    )
    if draw(st.booleans()):
        return scaling | {"replicas": draw(st.integers(1, 1000))}
    if draw(st.booleans()):
        least = draw(st.integers(0, 1000))
        return scaling | {"minReplicas": least, "maxReplicas": draw(st.integers(max(least, 1), 1000))}
    return scaling


placements = some(
    pool=st.sampled_from(["default", "gpu", "elsewhere"]),
    gpus=st.sampled_from([0, 0.25, 1, 2, 8]),
    cpus=st.sampled_from([0, 0.5, 1, 16]),
    memory=st.sampled_from(["512Mi", "40Gi", "1048576"]),
)
cards = with_all(
    {"title": st.text(LETTERS, min_size=1, max_size=20)},
    description=texts,
    baseArchitecture=st.sampled_from(["", "llama", "sdxl"]),
    tags=st.lists(st.text(LETTERS, max_size=8), max_size=3),
    inputs=st.just({"steps": {"default": 20, "maximum": 50}}) | st.just({}),
    examples=st.just([{"prompt": "a red circle"}]) | st.just([]),
    playground=st.booleans(),
)
prices = some(
    effectiveFrom=st.just("2026-12-01T00:00:00Z"),
    prompt=dollars,
    completion=dollars,
    image=dollars,
    tiers=st.just([{"abovePromptTokens": 1000, "prompt": "1"}]),
    adapters=st.just({"acme/style": "5"}),
    freePerMonth=st.just({"images": 10}),
)
uris = st.sampled_from(
    ["hf://org/name@main", "s3://models/llama", "file:///models/one", "builtin://shapes-sd", "wheel://x==1/y"]
)


@st.composite
def model_bodies(draw: st.DrawFn, name: st.SearchStrategy[str] = names) -> Spec:
    """A Model of any family."""
    family, task = draw(st.sampled_from(sorted(engines_of)))
    engine, takes_adapters = draw(engines_of[family, task])
    spec = draw(
        with_all(
            {"card": cards},
            placement=placements,
            scaling=scalings(),
            queue=some(maxWaiting=st.integers(0, 1000), maxWaitSeconds=st.sampled_from([0.5, 60])),
            prices=prices,
        )
    )
    spec |= {"family": family, "tasks": [task], "engine": engine}
    if engine["kind"] != "echo" or draw(st.booleans()):
        spec["weights"] = {"uri": draw(uris)} | draw(some(digest=digests))
    if takes_adapters:
        spec["adapters"] = draw(adapter_policies)
    return envelope("Model", draw(name), spec, draw(st.sampled_from([None, {"team": "a"}])))


models = model_bodies().map(ModelDocument.model_validate)

# --- Adapter

adapter_specs = with_all(
    {
        "weights": with_all(
            {"uri": st.sampled_from(["hf://org/lora", "s3://adapters/one", "asset:abc"])}, digest=digests
        )
    },
    base=names,
    title=texts,
    triggerWords=st.lists(st.text(LETTERS, min_size=1, max_size=8), max_size=3),
    defaultScale=st.sampled_from([0.5, 1.0]),
    sharedWith=st.lists(names | st.just("*"), max_size=3),
)
adapter_bodies = st.builds(lambda name, spec: envelope("Adapter", name, spec), names, adapter_specs)
adapters = adapter_bodies.map(AdapterDocument.model_validate)


# --- The smallest ones


def platform(**spec: Any) -> PlatformDocument:
    """A Platform with one pool without GPUs, but for what is said."""
    return PlatformDocument.model_validate(envelope("Platform", "slipway", spec))


def model(name: str = "echo", **spec: Any) -> ModelDocument:
    """A Model that repeats words, but for what is said."""
    given = {"family": "llm", "tasks": ["chat"], "card": {"title": "Echo"}, "engine": {"kind": "echo"}} | spec
    return ModelDocument.model_validate(envelope("Model", name, given))


def adapter(name: str = "style", **spec: Any) -> AdapterDocument:
    """An Adapter from a hub, but for what is said."""
    return AdapterDocument.model_validate(envelope("Adapter", name, {"weights": {"uri": "hf://org/lora"}} | spec))
