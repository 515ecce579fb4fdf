"""How a model with an adapter is written."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.domain.adapters import AdapterReference, parse_reference
from serve.domain.errors import InvalidRequest
from serve.domain.names import TenantName
from serve.gateway.adapter_choices import AdapterChoice, chosen
from serve.gateway.addresses import Address, addressed
from serve.gateway.openai.image_requests import form_values

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "model", "adapter"),
    [
        ("shapes-sd", "shapes-sd", None),
        ("shapes-sd:stripes", "shapes-sd", AdapterReference("stripes")),
        ("shapes-sd:acme/stripes", "shapes-sd", AdapterReference("stripes", TenantName("acme"))),
        (f"m:stripes@{DIGEST}", "m", AdapterReference("stripes", None, DIGEST)),
        (f"m:acme/stripes@{DIGEST}", "m", AdapterReference("stripes", TenantName("acme"), DIGEST)),
    ],
    ids=["a model", "own", "a tenant's", "own version", "a tenant's version"],
)
def test_an_address_names_a_model_and_perhaps_an_adapter(
    text: str, model: str, adapter: AdapterReference | None
) -> None:
    assert addressed(text) == Address(text, model, adapter)


@pytest.mark.parametrize(
    "text",
    ["m:", "m:a:b", "m:/a", "m:a/", "m:a/b/c", "m:A", "m:a@", "m:a@sha256:1", f"m:a@{DIGEST}0", "m:a@md5:1", "m:a b"],
)
def test_what_reads_like_no_adapter_is_refused_with_the_field(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        addressed(text)
    assert (caught.value.code, caught.value.param) == ("invalid_adapter", "model")


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    with suppress(InvalidRequest):
        assert addressed(f"m:{text}").model == "m"


def test_the_address_comes_first_and_errors_name_the_place_in_the_list() -> None:
    choices = [AdapterChoice(name="acme/moon", scale=0.5), AdapterChoice(name="a")]
    found = chosen(addressed("m:stripes"), choices)
    assert [(one.reference, one.scale, one.param) for one in found] == [
        (AdapterReference("stripes"), None, "model"),
        (parse_reference("acme/moon"), 0.5, "adapters.0.name"),
        (AdapterReference("a"), None, "adapters.1.name"),
    ]
    with pytest.raises(InvalidRequest) as caught:
        chosen(addressed("m"), [*choices, AdapterChoice(name="A")])
    assert caught.value.param == "adapters.2.name"


def test_a_forms_adapters_are_a_json_list() -> None:
    assert form_values({"adapters": '[{"name": "a", "scale": 0.5}]'}) == {"adapters": [{"name": "a", "scale": 0.5}]}
    with pytest.raises(InvalidRequest):
        form_values({"adapters": "a,b"})
