"""YAML to documents: every problem at once, with its line; and no tricks."""

import pytest

from serve.catalog.builtin import builtin_documents, builtin_names
from serve.catalog.cards import Card
from serve.catalog.manifests import MAX_TEXT_BYTES, document_of, load_documents
from serve.domain.errors import InvalidRequest

GOOD = """\
apiVersion: slipway.dev/v1alpha1
kind: Model
metadata: {name: echo}
spec:
  family: llm
  tasks: [chat]
  card:
    title: Echo
  engine: {kind: echo}
  scaling:
    minReplicas: 0
"""


def told(text: str) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        load_documents(text, "models.yaml")
    assert caught.value.code == "invalid_document"
    return caught.value.message.split("\n")


def test_several_documents_come_in_order() -> None:
    platform = "apiVersion: slipway.dev/v1alpha1\nkind: Platform\nmetadata: {name: slipway}\n"
    assert [d.kind for d in load_documents(f"---\n{GOOD}---\n---\n{platform}")] == ["Model", "Platform"]


def test_every_problem_has_its_line_and_path() -> None:
    text = (
        GOOD.replace("minReplicas: 0", "minReplicas: -1").replace("title: Echo", "title: ''")
        + "---\n"
        + GOOD.replace("name: echo", "name: Echo!").replace("engine: {kind: echo}", "engine: {kind: warp}")
    )
    assert told(text) == [
        "models.yaml:8: spec.card.title: must have at least 1 character(s)",
        "models.yaml:11: spec.scaling.minReplicas: must be at least 0 (got -1)",
        "models.yaml:15: metadata.name: a name holds lower-case letters, digits and inner hyphens, at most 40: 'Echo!'",
        "models.yaml:21: spec.engine.kind: must be one of 'vllm', 'transformers', 'diffusion', 'echo'",
    ]


def test_what_a_card_may_not_widen_has_a_line_too() -> None:
    text = GOOD.replace("    title: Echo\n", "    title: Echo\n    inputs:\n      n: {maximum: 99}\n")
    assert told(text) == ["models.yaml:10: spec.card.inputs.n: maximum 99 widens what the family allows, at most 16"]


BAD = {
    "a key twice": (
        GOOD + "    minReplicas: 1\n",
        "models.yaml:12: the key 'minReplicas' is here twice, first at line 11",
    ),
    "a field that is none": (GOOD + "    replica: 1\n", "models.yaml:12: spec.scaling.replica: is not a known field"),
    "a document twice": (GOOD + "---\n" + GOOD, "models.yaml:15: metadata.name: Model echo is here twice, see line 1"),
    "no YAML": ("a: [1", "models.yaml:1: expected ',' or ']'"),
    "no document": ("# nothing\n", "models.yaml:1: there is no document in it"),
    "a list": ("- 1\n", "models.yaml:1: a document is a mapping"),
    "an unknown kind": (GOOD.replace("kind: Model", "kind: Pod"), "models.yaml:2: kind: must be one of"),
    "another version": (GOOD.replace("v1alpha1", "v9"), "models.yaml:1: apiVersion: must be slipway.dev/v1alpha1"),
    "a python tag": ("a: !!python/object/apply:os.system [id]\n", "is not taken"),
    "a merge key": ("a: &a {b: 1}\nc:\n  <<: *a\n", "models.yaml:3: merge keys"),
    "a key that is a number": ("1: 2\n", "a key is a string"),
    "infinity": (GOOD.replace("minReplicas: 0", "idleSeconds: .inf"), "models.yaml:11: not a finite number"),
    "an alias to its own inside": ("a: &a [*a]\n", "an alias refers to what it is inside of"),
    "nested too deep": ("[" * 2000 + "]" * 2000, "nested deeper than"),
    "a character of no text": ("a: \x07", "a character that YAML does not allow"),
    "too long": ("#" * (MAX_TEXT_BYTES + 1), "larger than"),
    "a number of 10,000 digits": ("a: " + "9" * 10_000, "not a value that can be read"),
}


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said(text: str, expected: str) -> None:
    assert expected in "\n".join(told(text))


def test_a_billion_laughs_are_not_laughed() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "stands for more than" in told("\n".join(lines))[0]


def test_an_alias_within_bounds_is_followed() -> None:
    text = GOOD.replace("title: Echo", "title: &t Echo\n    description: *t")
    (document,) = load_documents(text)
    assert document.kind == "Model"
    assert document.spec.card.description == "Echo"


def test_json_is_told_the_same_without_lines() -> None:
    with pytest.raises(InvalidRequest, match=r"^metadata: is required"):
        document_of({"apiVersion": "slipway.dev/v1alpha1", "kind": "Platform"})


@pytest.mark.parametrize("name", builtin_names())
def test_a_builtin_model_is_a_good_document(name: str) -> None:
    (document,) = builtin_documents([name])
    card = Card(document, document.digest())
    assert card.name == name
    assert document.spec.card.examples, "an example is what a newcomer tries first"
    assert all(card.input_schema(task) for task in card.tasks)


def test_an_unknown_builtin_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match=r"echo, minilm-l6-v2, sd15, .*, smollm2-135m-instruct"):
        builtin_documents(["gpt-9"])
