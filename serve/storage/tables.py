"""Every table, declared once. Times are Unix milliseconds in `*_ms`; JSON columns hold plain values.

Migrations in `serve.storage.migrations` build exactly this; a test compares the two.
"""

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
OrderedJson = JSON(none_as_null=True)
"""Keeps the order of objects' keys, which JSONB does not: the properties of a JSON schema are answered in theirs.
PostgreSQL has no operators for it, not even equality."""
NAME = String(40)
ID = String(36)

tenants = Table(
    "tenants",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("webhook_secret", String(80), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("billing", String(8), nullable=False, server_default="postpaid"),
    Column("limits", Json),
)

projects = Table(
    "projects",
    metadata,
    Column("tenant", NAME, ForeignKey("tenants.name"), primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("limits", Json),
)

users = Table(
    "users",
    metadata,
    Column("id", ID, primary_key=True),
    Column("issuer", String(400), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("email", String(320), nullable=False),
    Column("name", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("last_login_ms", BigInteger, nullable=False),
    Column("admin_by", String(16)),
    Index("uq_users_issuer_subject", "issuer", "subject", unique=True),
)

members = Table(
    "members",
    metadata,
    Column("tenant", NAME, ForeignKey("tenants.name"), primary_key=True),
    Column("user_id", ID, ForeignKey("users.id"), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("granted_by", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index(None, "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("user_id", ID, ForeignKey("users.id"), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("tenant", NAME),
    Column("created_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("id_token", Text),
    Index(None, "user_id"),
    Index(None, "expires_ms"),
)

logins = Table(
    "logins",
    metadata,
    Column("state_sha256", String(64), primary_key=True),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("return_to", String(400), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index(None, "expires_ms"),
)

login_links = Table(
    "login_links",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("made_by", ID),
    Column("expires_ms", BigInteger, nullable=False),
    Index(None, "expires_ms"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("tenant", NAME, nullable=False),
    Column("project", NAME, nullable=False),
    Column("title", String(120), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("models", Json),
    Column("limits", Json),
    Column("replaced_by", String(24)),
    Column("made_by", String(24)),
    Column("family", String(24)),
    Index(None, "tenant", "id"),
)

documents = Table(
    "documents",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("digest", String(71), ForeignKey("documents.digest"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("managed_by", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("weights_digest", String(71)),
    Column("cold_start_seconds", Float),
)

runs = Table(
    "runs",
    metadata,
    Column("id", ID, primary_key=True),
    Column("request_id", ID, nullable=False),
    Column("tenant", NAME, nullable=False),
    Column("project", NAME, nullable=False),
    Column("key_id", String(24), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("target", String(120), nullable=False),
    Column("task", String(40), nullable=False),
    Column("inputs", OrderedJson, nullable=False),
    Column("adapters", Json),
    Column("request_hash", String(64), nullable=False),
    Column("idempotency_key", String(255)),
    Column("priority", Integer, nullable=False),
    Column("deadline_ms", BigInteger),
    Column("max_attempts", Integer, nullable=False),
    Column("webhook", Json),
    Column("status", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("cancel_requested", Integer, nullable=False),
    Column("outputs", Json),
    Column("usage", Json),
    Column("error", Json),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", String(80)),
    Column("lease_expires_ms", BigInteger),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("num_events", Integer, nullable=False),
    Column("price", String(71)),
    Column("hold", ID),
    Column("reserved_nano", BigInteger, nullable=False, server_default="0"),
    Column("cost_nano", BigInteger),
    Column("tags", Json),
    Column("trace", String(55)),
    Column("workflow", Json),
    Index(None, "status", "not_before_ms", "tenant", "priority", "id"),
    Index(None, "status", "lease_expires_ms"),
    Index(None, "status", "deadline_ms"),
    Index(None, "tenant", "status", "id"),
    Index(None, "tenant", "id"),
    Index(None, "status", "finished_ms"),
    Index("uq_runs_tenant_idempotency_key", "tenant", "idempotency_key", unique=True),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run_id", ID, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("data", Json, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", ID, primary_key=True),
    Column("run_id", ID, nullable=False),
    Column("tenant", NAME, nullable=False),
    Column("event", String(16), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("body", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
    Column("response_status", Integer),
    Column("error", String(400)),
    Column("created_ms", BigInteger, nullable=False),
    Column("delivered_ms", BigInteger),
    Index(None, "status", "tenant", "next_ms"),
    Index(None, "tenant", "run_id"),
)

assets = Table(
    "assets",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant", NAME, nullable=False),
    Column("project", NAME, nullable=False),
    Column("run_id", ID),
    Column("sha256", String(64), nullable=False),
    Column("media_type", String(120), nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("name", String(255)),
    Column("width", Integer),
    Column("height", Integer),
    Column("seconds", Float),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleting_ms", BigInteger),
    Index(None, "tenant", "id"),
    Index(None, "tenant", "sha256"),
    Index(None, "run_id"),
    Index(None, "deleting_ms"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("secret", String(80), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

adapters = Table(
    "adapters",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("title", String(120), nullable=False),
    Column("description", Text, nullable=False),
    Column("trigger_words", Json, nullable=False),
    Column("default_scale", Float, nullable=False),
    Column("managed_by", String(16), nullable=False),
    Column("document", Json),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

adapter_versions = Table(
    "adapter_versions",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("digest", String(71), primary_key=True),
    Column("facts", Json, nullable=False),
    Column("modules", Json, nullable=False),
    Column("files", Json, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("base", NAME),
    Column("misfits", Json, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    Index(None, "tenant", "digest"),
    Index(None, "deleted_ms"),
)

adapter_shares = Table(
    "adapter_shares",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("reader", NAME, primary_key=True),
    Index(None, "reader"),
)

adapter_blobs = Table(
    "adapter_blobs",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("digest", String(71), primary_key=True),
    Column("files", Json, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("held_until_ms", BigInteger, nullable=False),
    Column("deleting_ms", BigInteger),
    Index(None, "held_until_ms"),
)

layouts = Table(
    "layouts",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("shapes", Json, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
