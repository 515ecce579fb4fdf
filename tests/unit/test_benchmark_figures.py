"""The benchmarks' own arithmetic: what a stream is taken to say, and what rounds add up to."""

import json

import pytest

from benchmarks import figures
from benchmarks.answers import read_stream
from benchmarks.load import Block, Exchange, LoadFailed
from benchmarks.prompts import prompt
from benchmarks.servers import flags
from benchmarks.workflow_graphs import SHAPES, compiled, with_other_leaf
from benchmarks.workflow_path import first_node_ms, succeeded

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}}


def event(text: str | None = None, **fields: object) -> bytes:
    choices = [] if text is None else [{"delta": {"content": text}, "finish_reason": None}]
    return b"data: " + json.dumps({"choices": choices, **fields}).encode() + b"\n\n"


def stream(*parts: tuple[float, bytes]) -> Exchange:
    return Exchange(b"", 100.0, 200, list(parts), parts[-1][0])


def test_text_comes_when_the_last_byte_of_its_event_does() -> None:
    first, rest = event("a"), event("b") + event("cde") + event(usage=USAGE) + b"data: [DONE]\n\n"
    answer = read_stream(stream((100.5, first[:9]), (101.0, first[9:] + event("")), (103.0, rest)))
    assert answer.text == "abcde"
    assert answer.text_at == [1.0, 3.0, 3.0]
    assert answer.seconds == 3.0


def test_tokens_that_share_a_chunk_are_counted_by_usage() -> None:
    answer = read_stream(stream((101.0, event("a")), (103.0, event("bcde") + event(usage=USAGE) + b"data: [DONE]\n\n")))
    assert answer.gaps == [2.0]
    assert answer.seconds_per_token == 0.5
    assert answer.cached_tokens == 2


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(event(error={"message": "lost"}), id="an error event"),
        pytest.param(event(usage=USAGE), id="no DONE"),
        pytest.param(b"data: [DONE]\n\n", id="no usage"),
    ],
)
def test_a_stream_that_ends_early_is_no_measurement(end: bytes) -> None:
    with pytest.raises(LoadFailed):
        read_stream(stream((101.0, event("a")), (102.0, end)))


def test_a_comparison_is_made_within_each_round() -> None:
    found = figures.compared([[2.0], [20.0], [9.0]], [[1.0], [10.0], [3.0]], figures.percentile(50), figures.ratio)
    assert found["value"] == 2.0
    assert found["low"] == 2.0
    assert found["high"] == 3.0


def test_rounds_alternate_so_that_steady_drift_cancels_out() -> None:
    assert figures.orders(["a", "b"], 3) == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_prompts_of_different_seeds_differ_and_of_one_seed_do_not() -> None:
    assert prompt("0/1", 20) == prompt("0/1", 20)
    assert prompt("0/1", 20) != prompt("0/2", 20)


def test_engine_arguments_become_the_flags_that_vllm_takes() -> None:
    given = {"max_num_seqs": 16, "enforce_eager": True, "use_tqdm_on_load": False, "max_model_len": None}
    assert flags(given | {"disable_log_stats": False}) == [
        "--max-num-seqs", "16", "--enforce-eager", "--no-use-tqdm-on-load",
    ]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_graph_has_the_nodes_that_it_is_asked_for_and_another_leaf_changes_one(shape: str) -> None:
    document = SHAPES[shape](30)
    graph, other = compiled(document), compiled(with_other_leaf(document))
    assert 28 <= len(graph.nodes) <= 30
    assert [name for name, node in graph.nodes.items() if node.inputs != other.nodes[name].inputs] == [
        [name for name, node in document["nodes"].items() if "operation" in node["inputs"]][-1]
    ]


def run_stream(*parts: tuple[float, bytes]) -> Exchange:
    return stream((100.2, b": the events of a run\n\n"), *parts)


def test_a_node_is_first_seen_with_the_bytes_that_say_that_it_succeeded() -> None:
    step = b'event: step\ndata: {"label":"n0","status":"%b"}\n\n'
    assert first_node_ms(run_stream((100.5, step % b"running"), (101.0, step % b"succeeded"))) == 1000.0
    with pytest.raises(LoadFailed):
        first_node_ms(run_stream((100.5, step % b"running")))


def test_a_run_that_did_not_succeed_is_no_measurement() -> None:
    def block(end: bytes) -> Block:
        return Block(1, [run_stream((101.0, b"event: %b\ndata: {}\n\n" % end))], 1.0, 0.1)

    assert succeeded(block(b"succeeded")).seconds == 1.0
    with pytest.raises(LoadFailed):
        succeeded(block(b"failed"))
