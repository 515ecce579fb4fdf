"""One file for both executors: what kubectl writes into a document's metadata, `slipway apply` reads."""

import pytest
from pydantic import ValidationError

from serve.domain.documents import Metadata, ModelDocument

SPEC = {"family": "llm", "tasks": ["chat"], "card": {"title": "Echo"}, "engine": {"kind": "echo"}}
OF_A_CLUSTER = {
    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    "namespace": "acme",
    "uid": "1b9c",
    "resourceVersion": "7",
    "generation": 2,
    "creationTimestamp": "2026-11-23T00:00:00Z",
    "managedFields": [{"manager": "kubectl"}],
}


def model(**metadata: object) -> ModelDocument:
    return ModelDocument.model_validate(
        {"apiVersion": "slipway.dev/v1alpha1", "kind": "Model", "metadata": {"name": "echo", **metadata}, "spec": SPEC}
    )


def test_a_document_that_kubectl_printed_is_the_document_that_was_applied() -> None:
    assert model(**OF_A_CLUSTER).canonical() == model().canonical()
    assert model(**OF_A_CLUSTER).digest() == model().digest()


def test_what_is_no_metadata_of_kubernetes_is_refused() -> None:
    with pytest.raises(ValidationError, match="nickname"):
        Metadata.model_validate({"name": "echo", "nickname": "e"})
