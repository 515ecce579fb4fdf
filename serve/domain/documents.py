"""The documents that say what should be served. These classes are also the schemas of the custom resources.

YAML keys are camelCase, as Kubernetes has them; attributes are snake_case. `serve.domain.workflow` has that of
workflows, `serve.domain.platform` that of installations, `serve.domain.kinds` the table of all.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator
from pydantic.alias_generators import to_camel

from serve.domain.adapters import MAX_PER_CALL, Scale, parse_reference
from serve.domain.modality import Modality
from serve.domain.money import UsdText
from serve.domain.names import Digest, Name
from serve.domain.task import TASKS, Family, Task

API_VERSION = "slipway.dev/v1alpha1"
_SERVER_WRITTEN = frozenset(
    {"creationTimestamp", "generation", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"}
)
FreeUnit = Literal["prompt_tokens", "completion_tokens", "images", "pixel_steps", "audio_ms", "video_ms", "gpu_ms"]
"""Units of `Quantities` of which some may be free."""


class Spec(BaseModel):
    """A frozen, closed part of a document."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


class Metadata(Spec):
    """Who a document is."""

    name: Name
    """What it is called; also in requests and bills, so it is kept."""
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)
    """For the author's own use."""
    annotations: dict[str, str] = Field(default_factory=dict, exclude=True)
    """For programs on a cluster; not kept."""
    namespace: str | None = Field(default=None, max_length=63, exclude=True)
    """Where `kubectl` puts it; not kept."""

    @model_validator(mode="before")
    @classmethod
    def _as_applied(cls, value: Any) -> Any:
        """What a cluster says of an object is no part of it: `kubectl get -o yaml` gives a document, too."""
        if not isinstance(value, dict):
            return value
        return {key: kept for key, kept in value.items() if key not in _SERVER_WRITTEN}


class Weights(Spec):
    """Where a model's weights are, and which bytes they must be."""

    uri: str = Field(max_length=2048, pattern=r"^(file|s3|hf|wheel|builtin)://.+")
    """`hf://org/name[@revision]`, `s3://bucket/prefix`, `file:///dir`, `wheel://name==version/path#sha256=...`,
    `builtin://name`."""
    digest: Digest | None = None
    """Digest over the files' own digests. Unset, the first resolution's is recorded in the status and kept."""


class InputOverride(Spec):
    """What a card changes about one input of its family: it may narrow, never widen."""

    default: JsonValue = None
    """Used where a call gives none."""
    minimum: float | None = None
    """The least that is taken."""
    maximum: float | None = None
    """The most that is taken."""
    enum: list[JsonValue] | None = None
    """The only values that are taken."""
    required: bool = False
    """Demand an input that the family leaves open: an inpainting model cannot do without a mask."""
    description: str | None = None
    """For people, in place of the family's words."""


class CardSpec(Spec):
    """What users see of a model."""

    title: str = Field(min_length=1, max_length=120)
    """Its name for people."""
    description: str = Field(default="", max_length=4000)
    """What it is good for, for people."""
    base_architecture: str = Field(default="", max_length=64)
    """What an adapter must have been trained on: `llama`, `sd15`, `sdxl`, ..."""
    license: str = Field(default="", max_length=120)
    """Of the weights, by its SPDX name where it has one."""
    tags: list[Annotated[str, Field(max_length=40)]] = Field(default_factory=list, max_length=32)
    """Words that it is found by."""
    inputs: dict[str, InputOverride] = Field(default_factory=dict)
    """What it changes about the inputs of its family, by the input's name."""
    examples: list[dict[str, JsonValue]] = Field(default_factory=list, max_length=16)
    """Calls to show, each `{title, task, input, output}`. `output` is what came of it, to show: `{text: ...}`, or
    `{images: [...]}` with up to four small pictures as data URIs."""
    playground: bool = False
    """Whether it may be called without a key, as the anonymous tenant, under that tenant's caps."""


class Placement(Spec):
    """Where one replica runs."""

    pool: Name = "default"
    """The pool of the Platform whose nodes it runs on."""
    gpus: float = Field(default=0, ge=0, le=64)
    """Below 1 a replica shares a GPU and takes that share of its memory; above 1 it is tensor parallel over whole
    GPUs of one placement group."""
    cpus: float = Field(default=1, ge=0, le=256)
    """CPU cores that the scheduler reserves."""
    memory: str | None = Field(default=None, pattern=r"^\d+(Ki|Mi|Gi|Ti)?$")
    """What the scheduler reserves; a Kubernetes quantity of bytes."""

    @model_validator(mode="after")
    def _whole_gpus(self) -> "Placement":
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError("gpus above 1 is a whole number: a replica takes whole GPUs, or a share of one")
        return self


class Scaling(Spec):
    """How many replicas. Either `replicas`, or the range; never both."""

    replicas: int | None = Field(default=None, ge=1, le=1000)
    """A fixed number, as `kubectl scale` sets it."""
    min_replicas: int = Field(default=0, ge=0, le=1000)
    """The fewest; 0 lets the last one go after `idleSeconds` without work."""
    max_replicas: int = Field(default=1, ge=1, le=1000)
    """The most."""
    target_wait_seconds: float = Field(default=2, gt=0, le=600)
    """More replicas come when predicted waiting exceeds this."""
    idle_seconds: float = Field(default=600, ge=0, le=86_400)
    """How long there is no work until the last replicas go, down to the minimum. Those that are too many go sooner."""
    buffer_replicas: int = Field(default=0, ge=0, le=100)
    """Kept beyond what the work asks for while there is work: room for the next burst."""

    @model_validator(mode="after")
    def _one_way(self) -> "Scaling":
        ranged = {"min_replicas", "max_replicas"} & self.model_fields_set
        if self.replicas is not None and ranged:
            raise ValueError("replicas is a fixed number; leave out minReplicas and maxReplicas, or leave it out")
        if self.min_replicas > self.max_replicas:
            raise ValueError("minReplicas is more than maxReplicas")
        return self


class TokenTier(Spec):
    """Other token prices for calls with long prompts, as models with long contexts have them."""

    above_prompt_tokens: int = Field(ge=1)
    """Prompts of more tokens than this pay this tier's prices for the whole call."""
    prompt: UsdText | None = None
    """Per million prompt tokens that were not cached; unset, as without the tier."""
    cached_prompt: UsdText | None = None
    """Per million cached prompt tokens; unset, as without the tier."""
    completion: UsdText | None = None
    """Per million completion tokens; unset, as without the tier."""


class ImagePrice(Spec):
    """The price of one image up to a size."""

    up_to_pixels: int = Field(ge=1)
    """The size: width times height, at the most."""
    image: UsdText
    """Per image of that size."""


class Prices(Spec):
    """What a model's calls cost, in US dollars as decimal texts. Applying it makes a version that never changes; a
    call is charged by the version in force when it was admitted, however long it runs. What has no price here costs
    nothing; a model without any price is unpriced, which is reported, and not the same as free."""

    effective_from: AwareDatetime | None = None
    """From when on; unset, from when it is applied."""
    prompt: UsdText | None = None
    """Per million prompt tokens that were not cached."""
    cached_prompt: UsdText | None = None
    """Per million cached prompt tokens; unset, as `prompt`."""
    completion: UsdText | None = None
    """Per million completion tokens."""
    tiers: list[TokenTier] = Field(default_factory=list, max_length=8)
    """Other token prices for long prompts."""
    image: UsdText | None = None
    """Per image, whatever its size."""
    image_sizes: list[ImagePrice] = Field(default_factory=list, max_length=16)
    """Per image by its pixels, in place of `image`: the first size that is large enough; beyond all, `image`."""
    megapixel: UsdText | None = None
    """Per million output pixels."""
    megapixel_step: UsdText | None = None
    """Per million pixels times denoising steps."""
    input_image: UsdText | None = None
    """Per image that a call brings along."""
    audio_second: UsdText | None = None
    """Per second of sound that comes out."""
    video_second: UsdText | None = None
    """Per second of film that comes out."""
    gpu_second: UsdText | None = None
    """Per second of one GPU that a call took, as its share of a batch."""
    request: UsdText | None = None
    """Per call that did any work."""
    adapter_percent: UsdText | None = None
    """Surcharge in per cent of everything above, for each adapter of a call."""
    adapters: dict[str, UsdText] = Field(default_factory=dict, max_length=256)
    """The same for adapters by `tenant/name`, in place of `adapterPercent`."""
    free_per_month: dict[FreeUnit, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Units that each tenant has free in a calendar month (UTC), before anything is charged."""

    @field_validator("tiers")
    @classmethod
    def _tiers_differ(cls, tiers: list[TokenTier]) -> list[TokenTier]:
        if len({tier.above_prompt_tokens for tier in tiers}) < len(tiers):
            raise ValueError("two tiers begin above the same number of prompt tokens")
        return tiers

    @field_validator("image_sizes")
    @classmethod
    def _sizes_differ(cls, sizes: list[ImagePrice]) -> list[ImagePrice]:
        if len({size.up_to_pixels for size in sizes}) < len(sizes):
            raise ValueError("two prices are for images up to the same number of pixels")
        return sizes

    @field_validator("adapters")
    @classmethod
    def _adapters_named(cls, adapters: dict[str, str]) -> dict[str, str]:
        for name in adapters:
            reference = parse_reference(name)
            if reference.tenant is None or reference.digest is not None:
                raise ValueError(f"adapters are named as tenant/name, without a digest: {name[:80]!r}")
        return adapters


class Queue(Spec):
    """How much work may wait in front of one replica. Beyond it callers get a 429 with Retry-After."""

    max_waiting: int = Field(default=256, ge=0, le=100_000)
    """Requests of all tenants."""
    max_waiting_per_tenant: int = Field(default=128, ge=0, le=100_000)
    """Requests of one tenant, so that none fills the queue for the others."""
    max_wait_seconds: float = Field(default=60, gt=0, le=86_400)
    """Predicted waiting beyond which a request is refused at once rather than late."""


class AdapterPolicy(Spec):
    """Which adapters a model's calls may use, and how many a replica keeps at hand."""

    enabled: bool = False
    """Whether calls may name adapters at all."""
    max_rank: int = Field(default=64, ge=1, le=512)
    """Of a call's adapters together, module by module. A language model refuses calls whose ranks add up to more; an
    image model paints them in a batch of their own kind."""
    max_per_call: int = Field(default=4, ge=1, le=MAX_PER_CALL)
    """Adapters of one call."""
    max_resident: int = Field(default=16, ge=1, le=1024)
    """Mixtures kept on the accelerator, and for a language model those of one batch (vLLM's max_loras)."""
    max_host: int = Field(default=64, ge=1, le=10_000)
    """Adapters kept ready in host memory when nobody uses them (vLLM's max_cpu_loras)."""
    host_memory: str = Field(default="4Gi", pattern=r"^\d+(Ki|Mi|Gi|Ti)?$")
    """Bytes that those may take, as a Kubernetes quantity. What is in use is never freed."""
    pinned: list[str] = Field(default_factory=list, max_length=64)
    """Adapters that are loaded when a replica starts and stay: `tenant/name`, or with `@sha256:...`."""

    @field_validator("pinned")
    @classmethod
    def _named(cls, names: list[str]) -> list[str]:
        for name in names:
            if parse_reference(name).tenant is None:
                raise ValueError(f"pinned adapters are named with their tenant, as tenant/name: {name[:80]!r}")
        return names


class VllmEngine(Spec):
    """vLLM (AsyncLLM) for generation or embedding."""

    kind: Literal["vllm"]
    """vLLM."""
    runner: Literal["generate", "pooling"] = "generate"
    """generate makes text, pooling makes embeddings."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Tokens of prompt and answer together; unset, what the model's own configuration says."""
    max_concurrency: int = Field(default=16, ge=1, le=4096)
    """Sequences that decode together (vLLM's max_num_seqs)."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Of weights and activations; auto: as the weights say."""
    cpu_kv_cache_gib: float = Field(default=1, gt=0, le=4096)
    """Memory for the key-value cache when there is no GPU."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of a whole GPU's memory; a replica with `gpus` below 1 takes that share of it."""
    enforce_eager: bool = True
    """No compilation and no CUDA graphs: slower steps, a start that takes seconds. Set false on GPUs."""
    max_num_batched_tokens: int | None = Field(default=None, ge=64)
    """Tokens of one forward pass; unset, what vLLM chooses."""
    tool_parser: str | None = Field(default=None, pattern=r"^[a-z0-9_]{1,64}$")
    """vLLM's name for how this model writes tool calls; unset, the Hermes form (`<tool_call>` around JSON)."""


class TransformersEngine(Spec):
    """Sentence embedding through transformers: mean pooling over the last hidden state, unit length."""

    kind: Literal["transformers"]
    """transformers."""
    max_model_len: int = Field(default=512, ge=16)
    """Tokens of one text; longer ones are refused."""
    max_concurrency: int = Field(default=8, ge=1, le=256)
    """Requests that are worked on together."""
    max_batch_tokens: int = Field(default=8192, ge=64)
    """Padded tokens of one forward pass."""


class DiffusionEngine(Spec):
    """Our own engine for UNet diffusion models (SD 1.5, SSD-1B, SDXL): requests join and leave at every step."""

    kind: Literal["diffusion"]
    """Slipway's own."""
    max_concurrency: int = Field(default=16, ge=1, le=1024)
    """Calls that are worked on together; their latents stay in memory."""
    max_rows: int | None = Field(default=None, ge=2, le=256)
    """Rows of one forward pass; a guided image takes two. Unset, the knee that is measured when the model starts."""
    max_pixels: int = Field(default=2048 * 2048, ge=64 * 64, le=4096 * 4096)
    """Pixels of one image at the most, outpainted margins included."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """auto: bfloat16 on a GPU, float32 on a CPU."""
    variant: str | None = Field(default=None, pattern=r"^[a-z0-9_]{1,32}$")
    """Of the weight files, as diffusers names them: `fp16` takes *.fp16.safetensors."""
    compile: bool = False
    """Compile the repeated blocks of the UNet, and record CUDA graphs: faster steps, a start of minutes. For GPUs."""
    prompt_cache: int = Field(default=256, ge=0, le=65_536)
    """Encoded prompts that are kept; one that is longer than the text encoder's window counts as several."""


class EchoEngine(Spec):
    """The deterministic engine: repeats the prompt's words at a set pace. For load, chaos and contract tests."""

    kind: Literal["echo"]
    """Deterministic, for tests."""
    max_model_len: int = Field(default=4096, ge=16)
    """Words of prompt and answer together."""
    max_concurrency: int = Field(default=16, ge=1, le=4096)
    """Requests that are worked on together."""
    prefill_ms: float = Field(default=0, ge=0, le=60_000)
    """Milliseconds until the first token."""
    token_ms: float = Field(default=0, ge=0, le=60_000)
    """Milliseconds between tokens."""
    step_ms: float = Field(default=0, ge=0, le=60_000)
    """Milliseconds between the denoising steps of a picture."""
    adapter_load_ms: float = Field(default=0, ge=0, le=60_000)
    """Milliseconds to make an adapter ready."""


Engine = Annotated[VllmEngine | TransformersEngine | DiffusionEngine | EchoEngine, Field(discriminator="kind")]
ENGINES: dict[Family, tuple[type[Spec], ...]] = {
    Family.LLM: (VllmEngine, TransformersEngine, EchoEngine),
    Family.TEXT_TO_IMAGE: (DiffusionEngine, EchoEngine),
    Family.IMAGE_TO_IMAGE: (DiffusionEngine, EchoEngine),
}
"""Which engines serve which family."""


def takes_adapters(engine: Engine) -> bool:
    """Whether calls of this engine can use adapters: all but those that only make vectors."""
    return not isinstance(engine, TransformersEngine) and getattr(engine, "runner", "generate") == "generate"


class ModelSpec(Spec):
    """What a model is and where and how it runs. `engine` is typed per family; further families widen the union."""

    family: Family
    """What kind of model it is; fixed once the resource is there."""
    tasks: list[Task] = Field(min_length=1, max_length=16)
    """What calls can ask it to do; the family does nothing else."""
    weights: Weights | None = None
    card: CardSpec
    placement: Placement = Placement()
    engine: Engine
    """What runs it, by `kind`, and how."""
    scaling: Scaling = Scaling()
    queue: Queue = Queue()
    adapters: AdapterPolicy = AdapterPolicy()
    prices: Prices | None = None

    @model_validator(mode="after")
    def _agrees(self) -> "ModelSpec":
        for task in self.tasks:
            if self.family not in (families := TASKS[task].families):
                raise ValueError(f"tasks: {task} is served by the family {' or '.join(families)}, not {self.family}")
        if not isinstance(self.engine, ENGINES[self.family]):
            raise ValueError(f"engine: {self.engine.kind} does not serve the family {self.family}")
        if self.weights is None and self.engine.kind != "echo":
            raise ValueError(f"weights: the engine {self.engine.kind} needs them")
        if self.adapters.enabled and not takes_adapters(self.engine):
            raise ValueError(f"adapters: the engine {self.engine.kind} takes none when it makes vectors")
        return self

    @property
    def weights_variant(self) -> str | None:
        """Which of several precisions of the weight files is wanted; None for the plain ones."""
        return self.engine.variant if isinstance(self.engine, DiffusionEngine) else None

    @property
    def input_modalities(self) -> list[Modality]:
        return sorted(set().union(*(TASKS[task].inputs for task in self.tasks)))

    @property
    def output_modalities(self) -> list[Modality]:
        return sorted(set().union(*(TASKS[task].outputs for task in self.tasks)))


class Document(Spec):
    """The four fields every document has; `status` is written by the platform and ignored when applied."""

    api_version: Literal["slipway.dev/v1alpha1"]
    kind: str
    metadata: Metadata
    status: dict[str, Any] | None = Field(default=None, exclude=True)

    @property
    def name(self) -> str:
        return self.metadata.name

    def canonical(self) -> bytes:
        """The document as compact JSON with defaults left out and keys sorted: equal meaning, equal bytes."""
        body = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
        body |= {"apiVersion": self.api_version, "kind": self.kind}
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def digest(self) -> str:
        """`sha256:...` over the canonical form without labels: they sort documents, change nothing of what is
        served, and are written by many programs on a cluster."""
        plain = self
        if self.metadata.labels:
            plain = self.model_copy(update={"metadata": self.metadata.model_copy(update={"labels": {}})})
        return "sha256:" + hashlib.sha256(plain.canonical()).hexdigest()


class ModelDocument(Document):
    """A served model."""

    kind: Literal["Model"]
    spec: ModelSpec


class AdapterWeights(Spec):
    """Where an adapter's files are, and which bytes they must be."""

    uri: str = Field(max_length=2048, pattern=r"^((https|hf|s3|file|builtin)://|asset:).+")
    """`hf://org/name[@revision][/file]`, `https://...safetensors`, `asset:<id>`; administrators also `s3://`, `file://`
    and `builtin://`."""
    digest: Digest | None = None
    """Unset, whatever is there when the document is applied becomes the version."""


class AdapterSpec(Spec):
    """An adapter of the tenant whose key applies it. Applying other files makes a new version of the same name."""

    weights: AdapterWeights
    base: Name | None = None
    """A served model that the files must fit; unset, they must fit one of those that are served."""
    title: str = Field(default="", max_length=120)
    """Its name for people."""
    description: str = Field(default="", max_length=4000)
    """What it does, for people."""
    trigger_words: list[Annotated[str, Field(min_length=1, max_length=80)]] = Field(default_factory=list, max_length=32)
    """Words that call it in a prompt; unset, what the files' metadata says."""
    default_scale: Scale = 1.0
    """Used where a call names none."""
    shared_with: list[Name | Literal["*"]] = Field(default_factory=list, max_length=256)
    """Tenants that may use it; `*`, every one, is for administrators to say."""


class AdapterDocument(Document):
    """A tenant's adapter."""

    kind: Literal["Adapter"]
    spec: AdapterSpec
