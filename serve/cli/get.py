"""`slipway get`: lists of what there is (models, adapters, workflows, runs, ...), or one of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, age, duration, note, parse_time, print_data, print_table, seconds_between
from serve.cli.session import adapter_path, connect, segment

if TYPE_CHECKING:
    from serve.cli.client import Client

Row = dict[str, Any]
Columns = Sequence[tuple[str, Callable[[Row], Any]]]

_MAX_PAGE = 100
"""What the API gives at once."""
_DIGEST_CHARS = len("sha256:") + 12
"""Of a digest in a table: enough to tell versions apart. `-o wide` shows all of it."""


class ListFormat(StrEnum):
    """How lists are printed; `wide` is a table with more columns."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Noun:
    """What can be got: the list's path, whether one of them has a path of its own, and the columns."""

    path: str
    named: str
    has_item: bool
    columns: Columns
    filters: frozenset[str] = frozenset()
    wide: Columns = ()
    """More columns, of `-o wide`."""
    item: Callable[[str], str] | None = None
    """The path of one, where it is not the list's and its name."""
    after: Callable[[Row], str] | None = None
    """What the next page comes after, where it is not the last name."""


def replicas(model: Row) -> str:
    """`ready/desired`."""
    counts = model.get("replicas") or {}
    return f"{counts.get('ready', 0)}/{counts.get('desired', 0)}"


def run_time(run: Row) -> str | None:
    """How long the run took from its start to its end."""
    seconds = seconds_between(run.get("started_at"), run.get("finished_at"))
    return None if seconds is None else f"{seconds:.1f}s" if seconds < 60 else duration(seconds)


def asset_size(asset: Row) -> str | None:
    """`512x512` for a picture."""
    return f"{asset['width']}x{asset['height']}" if asset.get("width") and asset.get("height") else None


def short_digest(adapter: Row) -> str:
    """The beginning of a version's digest."""
    return str(adapter.get("digest") or "")[:_DIGEST_CHARS]


def key_state(key: Row) -> str:
    """valid, expired or revoked."""
    if key.get("revoked_at"):
        return "revoked"
    expires = key.get("expires_at")
    return "expired" if expires and is_past(expires) else "valid"


def limits(row: Row) -> str | None:
    """`60 requests, 9000 tokens` a minute."""
    given = {name: value for name, value in (row.get("limits") or {}).items() if value is not None}
    return ", ".join(f"{value} {name.removesuffix('_per_minute')}" for name, value in given.items()) or None


def is_past(moment: str) -> bool:
    """Whether an RFC 3339 time is behind us."""
    return parse_time(moment) <= datetime.now(UTC)


NOUNS = {
    "models": Noun(
        "/v1/catalog",
        "name",
        True,
        (
            ("name", lambda m: m["name"]),
            ("state", lambda m: m.get("state")),
            ("replicas", replicas),
            ("tasks", lambda m: m.get("tasks")),
            ("cold start", lambda m: f"{m['cold_start_seconds']:.0f}s" if m.get("cold_start_seconds") else None),
            ("age", lambda m: age(m.get("created_at"))),
        ),
        frozenset({"modality", "task", "base"}),
        (
            ("family", lambda m: m.get("family")),
            ("base", lambda m: m.get("base_architecture")),
            ("adapters", lambda m: (m.get("adapters") or {}).get("enabled")),
            ("license", lambda m: m.get("license")),
            ("title", lambda m: m.get("title")),
        ),
    ),
    "adapters": Noun(
        "/v1/adapters",
        "address",
        True,
        (
            ("name", lambda a: a["address"]),
            ("base", lambda a: a.get("base")),
            ("architecture", lambda a: a.get("architecture")),
            ("rank", lambda a: a.get("rank")),
            ("bytes", lambda a: a.get("num_bytes")),
            ("version", short_digest),
            ("age", lambda a: age(a.get("created_at"))),
        ),
        frozenset({"base", "architecture", "limit"}),
        (
            ("kinds", lambda a: a.get("kinds")),
            ("components", lambda a: a.get("components")),
            ("format", lambda a: a.get("format")),
            ("trigger words", lambda a: a.get("trigger_words")),
            ("scale", lambda a: a.get("default_scale")),
            ("shared with", lambda a: a.get("shared_with") or None),
            ("id", lambda a: a.get("id")),
            ("title", lambda a: a.get("title")),
        ),
        adapter_path,
        lambda a: f"{a['tenant']}/{a['name']}",
    ),
    "runs": Noun(
        "/v1/runs",
        "id",
        True,
        (
            ("id", lambda r: r["id"]),
            ("of", lambda r: r.get("workflow") or r.get("model")),
            ("task", lambda r: r.get("task")),
            ("status", lambda r: r.get("status")),
            ("attempt", lambda r: r.get("attempt")),
            ("took", run_time),
            ("age", lambda r: age(r.get("created_at"))),
        ),
        frozenset({"status", "model", "limit"}),
    ),
    "workflows": Noun(
        "/v1/workflows",
        "name",
        True,
        (
            ("name", lambda w: w["name"]),
            ("title", lambda w: w["title"]),
            ("latest", lambda w: w["latest"]),
            ("aliases", lambda w: [f"{alias}={number}" for alias, number in w["aliases"].items()]),
            ("age", lambda w: age(w["created_at"])),
        ),
    ),
    "assets": Noun(
        "/v1/assets",
        "id",
        True,
        (
            ("id", lambda a: a["id"]),
            ("name", lambda a: a.get("name")),
            ("type", lambda a: a.get("media_type")),
            ("bytes", lambda a: a.get("num_bytes")),
            ("size", asset_size),
            ("age", lambda a: age(a.get("created_at"))),
        ),
        frozenset({"limit"}),
    ),
    "keys": Noun(
        "/v1/keys",
        "id",
        False,
        (
            ("id", lambda k: k["id"]),
            ("title", lambda k: k.get("title")),
            ("scopes", lambda k: k.get("scopes")),
            ("tenant", lambda k: k.get("tenant")),
            ("project", lambda k: k.get("project")),
            ("state", key_state),
            ("expires", lambda k: k.get("expires_at")),
            ("age", lambda k: age(k.get("created_at"))),
        ),
        wide=(
            ("models", lambda k: k.get("models")),
            ("limits", limits),
            ("made by", lambda k: k.get("made_by")),
            ("replaced by", lambda k: k.get("replaced_by")),
        ),
    ),
    "tenants": Noun(
        "/v1/admin/tenants",
        "name",
        True,
        (
            ("name", lambda t: t["name"]),
            ("billing", lambda t: t.get("billing")),
            ("limits", limits),
            ("age", lambda t: age(t.get("created_at"))),
        ),
    ),
    "projects": Noun(
        "/v1/projects",
        "name",
        True,
        (
            ("name", lambda p: p["name"]),
            ("tenant", lambda p: p.get("tenant")),
            ("limits", limits),
            ("age", lambda p: age(p.get("created_at"))),
        ),
    ),
    "members": Noun(
        "/v1/members",
        "user_id",
        False,
        (
            ("id", lambda m: m["user_id"]),
            ("email", lambda m: m.get("email")),
            ("name", lambda m: m.get("name")),
            ("tenant", lambda m: m.get("tenant")),
            ("role", lambda m: m.get("role")),
            ("by", lambda m: m.get("granted_by")),
            ("last login", lambda m: age(m.get("last_login_at"))),
        ),
    ),
}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(get)


def get(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            help="models, adapters, workflows, runs, assets, keys, tenants, projects, members.", metavar="KIND"
        ),
    ],
    name: Annotated[str | None, typer.Argument(help="One of them, by name or id.")] = None,
    status: Annotated[str | None, typer.Option(help="Runs in this status.")] = None,
    model: Annotated[str | None, typer.Option(help="Runs of this model.")] = None,
    task: Annotated[str | None, typer.Option(help="Models with this task.")] = None,
    modality: Annotated[str | None, typer.Option(help="Models that take or give this modality.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Adapters that were checked against this model; models of this architecture.")
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="Adapters for sd15, sdxl or language models.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1000, help="Adapters, runs or assets to show.")] = None,
    output: Annotated[
        ListFormat, typer.Option("--output", "-o", help="How to print the result; wide has more columns.")
    ] = ListFormat.TABLE,
) -> None:
    """List things, or show one: `get models`, `get runs --status running`, `get adapters --base shapes-sd`."""
    noun = noun_of(kind)
    filters = {"status": status, "model": model, "task": task, "modality": modality, "limit": limit}
    filters |= {"base": base, "architecture": architecture}
    _check_filters(kind, noun, filters)
    shown = {option: value for option, value in filters.items() if option in noun.filters}
    with connect(ctx) as client:
        if name is not None:
            data = [find(client, noun, name)]
            more = False
        else:
            data, more = listed(client, noun, shown)
    if output in (ListFormat.JSON, ListFormat.YAML):
        print_data(data[0] if name is not None else data, Format(output.value))
        return
    print_rows(noun, data, is_wide=output is ListFormat.WIDE)
    if more:
        note("There are more; --limit shows them.")


def noun_of(kind: str, among: Sequence[str] = tuple(NOUNS)) -> Noun:
    """The noun that `kind` names, in singular or plural."""
    plural = kind if kind.endswith("s") else f"{kind}s"
    if plural not in among:
        raise CliError(f"There are no {kind!r}; choose one of {', '.join(among)}.", ExitCode.USAGE)
    return NOUNS[plural]


def _check_filters(kind: str, noun: Noun, filters: dict[str, Any]) -> None:
    for option, value in filters.items():
        if value is not None and option not in noun.filters:
            raise CliError(f"--{option} does not apply to {kind}.", ExitCode.USAGE)


def listed(client: "Client", noun: Noun, filters: dict[str, Any]) -> tuple[list[Row], bool]:
    """Rows up to the filter `limit`, over as many pages as that takes, and whether there are more."""
    limit = filters.get("limit")
    rows: list[Row] = []
    while True:
        page = {} if limit is None else {"limit": min(limit - len(rows), _MAX_PAGE)}
        after = {"after": noun.after(rows[-1]) if noun.after else rows[-1][noun.named]} if rows else {}
        answer = client.get(noun.path, filters | page | after)
        rows += answer["data"]
        more = bool(answer.get("has_more"))
        if limit is None or not more or len(rows) >= limit:
            return rows, more


def find(client: "Client", noun: Noun, name: str) -> Row:
    """The one called `name`. Raises CliError if there is none."""
    if noun.has_item:
        item: Row = client.get(noun.item(name) if noun.item else f"{noun.path}/{segment(name)}")
        return item
    for row in client.get(noun.path)["data"]:
        if row[noun.named] == name:
            found: Row = row
            return found
    raise CliError(f"There is no {name!r} among the {noun.path.rsplit('/', 1)[1]}.", ExitCode.REFUSED)


def print_rows(noun: Noun, rows: Sequence[Row], is_wide: bool = False) -> None:
    """The noun's table, or a remark that there is nothing."""
    if not rows:
        note("Nothing found.")
        return
    columns = [*noun.columns, *(noun.wide if is_wide else ())]
    print_table([heading for heading, _ in columns], [[value(row) for _, value in columns] for row in rows])
