"""From inputs to what the sampler is told, and what is refused on the way."""

import pytest

from deployments.engines.generation_plan import (
    Limits,
    answer_tokens,
    cache_salt,
    check_token_ids,
    completion_prompts,
    num_logprobs,
    prompt_param,
    read_inputs,
    sampling_arguments,
)
from serve.domain.chat import ChatInput, CompletionInput
from serve.domain.errors import InvalidRequest

LIMITS = Limits(max_model_len=100, vocab_size=1000)
MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**inputs: object) -> ChatInput:
    return read_inputs(ChatInput, {"messages": MESSAGES, **inputs})


def completion(**inputs: object) -> CompletionInput:
    return read_inputs(CompletionInput, inputs)


def test_every_field_of_sampling_reaches_the_sampler():
    asked = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "repetition_penalty": 1.2,
        "seed": 7,
        "n": 3,
    }
    arguments = sampling_arguments(chat(**asked, stop="x", logit_bias={"5": -100.0}), LIMITS)
    assert {name: arguments[name] for name in asked} == asked
    assert (arguments["stop"], arguments["logit_bias"]) == (["x"], {5: -100.0})
    assert arguments["include_stop_str_in_output"] is False


def test_greedy_choices_keep_one_candidate():
    arguments = sampling_arguments(chat(temperature=0.0, n=2, top_p=0.5), LIMITS)
    assert (arguments["temperature"], arguments["top_k"], arguments["top_p"]) == (1.0, 1, 1.0)


@pytest.mark.parametrize(("seed", "folded"), [(0, 0), (-1, 2**62 - 1), (2**63 - 1, 2**62 - 1), (-(2**63), 0)])
def test_a_seed_stays_a_seed_that_choices_can_be_added_to(seed, folded):
    assert sampling_arguments(chat(seed=seed), LIMITS)["seed"] == folded


@pytest.mark.parametrize(
    ("inputs", "param"),
    [({"logit_bias": {"1000": 1.0}}, "logit_bias"), ({"stop": ""}, "stop"), ({"stop": ["a", ""]}, "stop")],
)
def test_what_the_sampler_would_choke_on_is_refused(inputs, param):
    with pytest.raises(InvalidRequest) as refused:
        sampling_arguments(chat(**inputs), LIMITS)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("num_prompt_tokens", "max_tokens", "answer"),
    [(10, None, 90), (10, 90, 90), (99, None, 1), (10, 91, None), (100, None, None), (100, 1, None)],
)
def test_prompt_and_answer_share_the_context(num_prompt_tokens, max_tokens, answer):
    if answer is not None:
        assert answer_tokens(num_prompt_tokens, max_tokens, LIMITS, "messages") == answer
        return
    with pytest.raises(InvalidRequest, match="100 tokens") as refused:
        answer_tokens(num_prompt_tokens, max_tokens, LIMITS, "messages")
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "messages")
    assert str(num_prompt_tokens) in str(refused.value)


@pytest.mark.parametrize(
    ("prompt", "prompts", "params"),
    [
        pytest.param("a", ["a"], ["prompt"], id="text"),
        pytest.param(["a", "b"], ["a", "b"], ["prompt.0", "prompt.1"], id="texts"),
        pytest.param([1, 2], [[1, 2]], ["prompt"], id="ids"),
        pytest.param([[1], [2, 3]], [[1], [2, 3]], ["prompt.0", "prompt.1"], id="lists of ids"),
    ],
)
def test_the_four_spellings_of_a_prompt_are_one(prompt, prompts, params):
    inputs = completion(prompt=prompt)
    assert completion_prompts(inputs) == prompts
    assert [prompt_param(inputs, i) for i in range(len(prompts))] == params


@pytest.mark.parametrize("ids", [[], [1000], [5, 2**31 - 1]])
def test_ids_outside_the_vocabulary_are_refused(ids):
    with pytest.raises(InvalidRequest):
        check_token_ids(ids, LIMITS, "prompt")


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        (chat(), None),
        (chat(logprobs=True), 0),
        (chat(logprobs=True, top_logprobs=3), 3),
        (completion(prompt="a"), None),
        (completion(prompt="a", logprobs=0), 0),
        (completion(prompt="a", logprobs=2), 2),
    ],
    ids=["chat", "chat own", "chat top", "completion", "completion own", "completion top"],
)
def test_log_probabilities_are_asked_for_as_openai_does(inputs, wanted):
    assert num_logprobs(inputs) == wanted


def test_tenants_have_salts_of_their_own_that_do_not_tell_their_names():
    assert cache_salt("acme") == cache_salt("acme") != cache_salt("acme2")
    assert "acme" not in cache_salt("acme")


def test_a_wrong_input_is_refused_with_its_path():
    with pytest.raises(InvalidRequest) as refused:
        chat(messages=[{"role": "user", "content": 5}])
    assert refused.value.param == "messages.0.content"


def test_a_schema_is_read_under_either_of_its_names():
    for name in ("schema", "schema_"):
        wanted = {"type": "json_schema", "json_schema": {"name": "x", name: {"type": "object"}}}
        assert chat(response_format=wanted).response_format.json_schema.schema_ == {"type": "object"}
