"""The parts of the command line that need no platform: events, context, options, tables, durations."""

import itertools
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.cli.context import Context, context_path, load_context, normal_url, resolve, save_context
from serve.cli.describe import describe_model
from serve.cli.exits import CliError, ExitCode
from serve.cli.keys import expiry
from serve.cli.main import options_first
from serve.cli.output import age, cell, duration, parse_time, plain, print_fields, print_table
from serve.cli.sse import ServerEvent, parse_events, split_lines


@pytest.fixture
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty XDG_CONFIG_HOME."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


# Server-sent events


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\u2028\u2029\x85\x0b\x1c"))


line_ends = st.sampled_from(["\n", "\r\n", "\r"])


@given(st.lists(texts, min_size=1, max_size=5), line_ends, st.lists(st.integers(0), max_size=8))
def test_events_survive_any_cut_and_any_line_end(contents: list[str], end: str, places: list[int]) -> None:
    sent = "".join(
        f"id: {number}{end}event: output{end}data: {json.dumps(text, ensure_ascii=False)}{end}{end}"
        for number, text in enumerate(contents)
    )
    # The comment is the next keep-alive: it lets a lone CR be told from half a CR LF.
    pieces = cut((sent + f": keep-alive{end}x").encode(), places)
    events = list(parse_events(split_lines(pieces)))
    assert [json.loads(event.data) for event in events] == contents
    assert [(event.id, event.kind) for event in events] == [(str(n), "output") for n in range(len(contents))]


def test_comments_and_events_without_data_give_nothing_and_lines_of_data_are_joined() -> None:
    lines = [": hello", "", "event: queued", "", "data:one", "data: two", ""]
    assert list(parse_events(lines)) == [ServerEvent("", "message", "one\ntwo")]


# Context


def test_a_saved_context_is_loaded_and_nobody_else_can_read_it(config_home: Path) -> None:
    before = os.umask(0)
    try:
        save_context("http://127.0.0.1:9000/", "slw_x")
        save_context("http://127.0.0.1:9001/v1/", "slw_y")
    finally:
        os.umask(before)
    assert load_context() == Context("http://127.0.0.1:9001", "slw_y")
    assert stat.S_IMODE(context_path().stat().st_mode) == 0o600
    assert os.listdir(config_home / "slipway") == ["config.yaml"]


def test_without_a_context_there_is_the_default_address_and_no_key(config_home: Path) -> None:
    assert load_context() == Context("http://127.0.0.1:8000", None)


@pytest.mark.parametrize("text", ["- a list", "url: [", "\x00", "just words"], ids=repr)
def test_a_context_file_of_something_else_says_what_to_do(config_home: Path, text: str) -> None:
    context_path().parent.mkdir(parents=True)
    context_path().write_text(text)
    with pytest.raises(CliError) as caught:
        load_context()
    assert "--url" in caught.value.details


def test_a_saved_key_is_sent_to_its_own_platform_only(config_home: Path) -> None:
    save_context("http://127.0.0.1:9000", "slw_secret")
    assert resolve(None, None) == Context("http://127.0.0.1:9000", "slw_secret")
    assert resolve("http://127.0.0.1:9000/v1", None).key == "slw_secret"
    assert resolve("http://evil.example:9000", None).key is None
    assert resolve(None, "slw_other") == Context("http://127.0.0.1:9000", "slw_other")


def test_the_key_stays_out_of_the_repr() -> None:
    assert "slw_secret" not in repr(Context("http://h", "slw_secret"))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h", "http://", "", "file:///etc/passwd"], ids=repr)
def test_what_is_no_http_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(CliError) as caught:
        normal_url(url)
    assert caught.value.exit_code is ExitCode.USAGE


# Options


MOVES: dict[str, tuple[list[str], list[str]]] = {
    "behind": (["get", "models", "--url", "U", "-o", "json"], ["--url", "U", "get", "models", "-o", "json"]),
    "with-equals": (["get", "--key=K", "models"], ["--key=K", "get", "models"]),
    "both": (["--url", "U", "run", "m", "--key", "K"], ["--url", "U", "--key", "K", "run", "m"]),
    "after-the-dashes": (["run", "m", "--", "--url", "U"], ["run", "m", "--", "--url", "U"]),
    "without-a-value": (["get", "models", "--url"], ["--url", "get", "models"]),
    "none": (["chat", "m"], ["chat", "m"]),
}


@pytest.mark.parametrize(("given", "expected"), MOVES.values(), ids=MOVES.keys())
def test_url_and_key_may_stand_anywhere_before_the_dashes(given: list[str], expected: list[str]) -> None:
    assert options_first(given) == expected


@given(st.lists(st.sampled_from(["--url", "--key", "--url=x", "--", "run", "a=b"])))
def test_moving_options_loses_and_adds_nothing(words: list[str]) -> None:
    assert sorted(options_first(words)) == sorted(words)


# Output


@given(st.text())
def test_no_text_of_others_can_drive_the_terminal(text: str) -> None:
    assert not any(char in plain(text) for char in map(chr, [*range(9), *range(11, 32), *range(0x7F, 0xA0)]))


def test_columns_line_up_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "state"], [("a\x1b[31m\nb", "ready"), ("漢字", None), ("x" * 90, ["p", "q"])])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "NAME" + " " * 89 + "STATE"
    assert [line.split()[-1] for line in lines[1:]] == ["ready", "-", "q"]
    assert len(lines) == 4


def test_a_long_list_of_choices_does_not_widen_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"sampler_{n}" for n in range(26)]
    fields = {
        "sampler": {"type": "string", "enum": names, "default": names[0], "description": "How."},
        "steps": {"type": "integer", "minimum": 1, "description": "Steps."},
    }
    describe_model({"name": "m", "inputs": {"text_to_image": {"properties": fields}}})
    sampler, steps = capsys.readouterr().out.splitlines()[-2:]
    assert len(steps) < 60
    assert sampler.endswith("How. " + " | ".join(names))


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("Name", "m"), ("License", ""), ("Tags", []), ("Count", 0)])
    assert capsys.readouterr().out == "Name:    m\nCount:   0\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0s"), (59.4, "59s"), (60, "1m"), (5400, "1h"), (86_400 * 2.9, "2d")]
)
def test_durations_show_their_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ages_and_cells_of_nothing_are_dashes() -> None:
    assert (age(None), cell(None), cell(""), cell(["a", None])) == ("-", "-", "-", "a, -")


def test_an_expiry_is_a_duration_from_now_or_a_time() -> None:
    assert expiry(None) is None
    assert expiry("2027-01-31T00:00:00+01:00") == "2027-01-30T23:00:00Z"
    in_a_day = parse_time(str(expiry("1d"))).timestamp() - time.time()
    assert 86_390 < in_a_day <= 86_400


@pytest.mark.parametrize("text", ["soon", "5y", "-1d", "999999w", "٣d"], ids=repr)
def test_an_expiry_that_makes_no_sense_is_a_usage_error(text: str) -> None:
    with pytest.raises(CliError) as caught:
        expiry(text)
    assert caught.value.exit_code is ExitCode.USAGE


# Start


def test_help_needs_neither_the_http_client_nor_the_documents() -> None:
    code = "import serve.cli.main, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"httpx", "pydantic", "sqlalchemy", "yaml", "rich", "ray"} & set(loaded)
