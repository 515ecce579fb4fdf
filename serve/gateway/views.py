"""The native answers and bodies. Times are RFC 3339 in UTC; names are the contract of the command line too."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, PlainSerializer

from serve.auth.access import DEFAULT_SCOPES, Scope
from serve.auth.keys import MAX_GRACE_SECONDS
from serve.auth.limits import MAX_PER_MINUTE, UNLIMITED, Limits
from serve.auth.model_lists import MAX_ENTRIES
from serve.domain.adapters import AdapterArchitecture
from serve.domain.documents import AdapterDocument, ModelDocument
from serve.domain.modality import Modality
from serve.domain.moments import at, rfc3339
from serve.domain.money import shown
from serve.domain.run import DeliveryStatus, RunKind, RunStatus
from serve.domain.serving import ModelState
from serve.domain.task import Family, Task
from serve.gateway.adapter_choices import CHOICES_FIELD, AdapterChoices

MAX_DEADLINE_SECONDS = 7 * 86_400.0


Timestamp = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]


def at_or_none(unix_ms: int | None) -> datetime | None:
    """The moment, where there may be none."""
    return None if unix_ms is None else at(unix_ms)


class Body(BaseModel):
    """A closed request body."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """A list, in the order that its route says; `has_more` says whether asking again with `after` gives more."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool = False


class Modalities(BaseModel):
    """What goes in and what comes out."""

    input: list[Modality]
    output: list[Modality]


class Replicas(BaseModel):
    """How many answer now, and how many should."""

    ready: int
    desired: int


class AdapterPolicyView(BaseModel):
    """Whether calls of a model may name adapters, and how many and how large."""

    enabled: bool
    architecture: AdapterArchitecture | None
    max_rank: int
    max_per_call: int


class CardView(BaseModel):
    """A model of the catalogue. `inputs` holds a JSON Schema per task, in which `x-ui` says how a form shows a field;
    `prices` are those in force for the caller, spelled as in a document, null where the model is unpriced."""

    name: str
    title: str
    description: str
    family: Family
    tasks: list[Task]
    modalities: Modalities
    base_architecture: str
    license: str
    tags: list[str]
    adapters: AdapterPolicyView
    state: ModelState
    message: str
    replicas: Replicas
    cold_start_seconds: float | None
    inputs: dict[str, dict[str, Any]]
    examples: list[dict[str, Any]]
    prices: dict[str, Any] | None
    playground: bool
    digest: str
    created_at: Timestamp | None
    updated_at: Timestamp | None


class WebhookBody(Body):
    """Where a run's news goes. `events` are by default the three ends."""

    url: str = Field(max_length=2048)
    events: list[Literal["started", "succeeded", "failed", "canceled"]] | None = Field(default=None, min_length=1)


class NewRunBody(Body):
    """A run to start. `input` is checked against the model's schema for `task`, its first task by default."""

    input: dict[str, Any]
    task: Task | None = None
    adapters: AdapterChoices | None = CHOICES_FIELD
    webhook: WebhookBody | None = None
    deadline_s: float | None = Field(default=None, gt=0, le=MAX_DEADLINE_SECONDS)
    priority: int = Field(default=0, ge=-10, le=10)


class RunErrorView(BaseModel):
    """Why a run failed."""

    code: str
    message: str
    param: str | None


class RunAdapterView(BaseModel):
    """An adapter of a run: the immutable id that its name had when the run was accepted."""

    id: str
    scale: float


class RunUrls(BaseModel):
    """Where to go on, as paths of this API."""

    self: str
    events: str
    cancel: str
    steps: str | None = None


class CostView(BaseModel):
    """What something costs: billionths of a dollar, and the same as dollars with every digit."""

    nano_usd: int
    usd: str


def cost_view(nano: int | None) -> CostView | None:
    """A cost, where there is one: what is unpriced has none."""
    return None if nano is None else CostView(nano_usd=nano, usd=shown(nano))


class RunView(BaseModel):
    """A run, of a `model` for a `task`, or of a `workflow`: `name@version`. `cost` is what its usage costs before free
    tiers and credit, null where a model without price took part. A workflow's output is by name; what was skipped or
    failed is null, and what is large as a whole is `{"$document": {"asset": ...}}`: the asset has it, as JSON."""

    id: str
    object: Literal["run"] = "run"
    kind: RunKind
    model: str | None
    task: Task | None
    workflow: str | None
    status: RunStatus
    attempt: int
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    input: dict[str, Any]
    adapters: list[RunAdapterView]
    output: dict[str, Any] | None
    usage: dict[str, int | float] | None
    cost: CostView | None
    error: RunErrorView | None
    request_id: str
    urls: RunUrls


class DeliveryView(BaseModel):
    """One webhook delivery. `response_status` and `error` are of the last attempt."""

    id: str
    event: str
    url: str
    status: DeliveryStatus
    attempt: int
    next_attempt_at: Timestamp | None
    response_status: int | None
    error: str | None
    created_at: Timestamp
    delivered_at: Timestamp | None


class WebhookSecret(BaseModel):
    """What webhooks of this tenant are signed with (Standard Webhooks)."""

    secret: str


class AssetView(BaseModel):
    """An asset. `url` reads its bytes: a path of this API, or a link of the store that expires."""

    id: str
    object: Literal["asset"] = "asset"
    media_type: str
    num_bytes: int
    sha256: str
    name: str | None
    width: int | None
    height: int | None
    seconds: float | None
    created_at: Timestamp
    url: str


PerMinute = Annotated[int | None, Field(default=None, ge=0, le=MAX_PER_MINUTE)]


class LimitsBody(Body):
    """What a minute may hold; what is left out, or null, has no limit here."""

    requests_per_minute: PerMinute
    tokens_per_minute: PerMinute
    images_per_minute: PerMinute

    def limits(self) -> Limits:
        """As the rest of the platform knows them."""
        return Limits(self.requests_per_minute, self.tokens_per_minute, self.images_per_minute)


class LimitsView(BaseModel):
    """What a minute may hold; null where there is no limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    images_per_minute: int | None


def limits_of(body: LimitsBody | None) -> Limits:
    """The limits that a body gives."""
    return UNLIMITED if body is None else body.limits()


def limits_view(limits: Limits) -> LimitsView:
    """The limits, to be seen."""
    return LimitsView(**dict(limits.items()))


class NewKeyBody(Body):
    """A key to make. Another tenant is for admins, another project for people and admins.

    `models` lists what it may use: `name` for a model alone, `name:*` for it with adapters too; left out, all of them.
    Models and limits that are left out are those of the key that makes it.
    """

    title: str
    scopes: list[Scope] = Field(default_factory=lambda: sorted(DEFAULT_SCOPES), min_length=1)
    expires_at: AwareDatetime | None = None
    models: list[str] | None = Field(default=None, min_length=1, max_length=MAX_ENTRIES)
    limits: LimitsBody | None = None
    tenant: str | None = None
    project: str | None = None


class RotationBody(Body):
    """How long the old key goes on beside the new one: an hour, if nothing is said; zero ends it at once."""

    grace_seconds: float = Field(default=3600.0, ge=0, le=MAX_GRACE_SECONDS)


class KeyView(BaseModel):
    """A key, without its secret."""

    id: str
    title: str
    tenant: str
    project: str
    scopes: list[Scope]
    models: list[str] | None
    limits: LimitsView
    created_at: Timestamp
    expires_at: Timestamp | None
    revoked_at: Timestamp | None
    replaced_by: str | None
    made_by: str | None


class NewKeyView(KeyView):
    """A new key: `key` is shown this once."""

    key: str


class DocumentView(BaseModel):
    """A stored document, and who writes it."""

    document: dict[str, JsonValue]
    digest: str
    managed_by: str
    generation: int


class AppliedView(BaseModel):
    """What applying a document did."""

    result: Literal["created", "configured", "unchanged"]
    document: dict[str, JsonValue]


class HealthView(BaseModel):
    """Whether this process can do its work."""

    status: Literal["ok"] = "ok"


def plain_document(document: ModelDocument | AdapterDocument) -> dict[str, Any]:
    """A document as JSON, defaults filled in, spelled as it is written."""
    return document.model_dump(mode="json", by_alias=True)
