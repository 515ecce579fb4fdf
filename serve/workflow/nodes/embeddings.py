"""Operations on embeddings."""

import math
from collections.abc import Mapping
from operator import mul
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.operation import In, Out, Quick


class Similarity(Quick):
    """How alike two embeddings are."""

    name = "embedding.similarity"
    title = "Similarity"
    description = (
        "The cosine of the angle between two embeddings of one model: 1 is the same direction, 0 nothing alike."
    )
    category = "Numbers"
    inputs = {"a": In("embedding", "An embedding."), "b": In("embedding", "Another one.")}
    outputs = {"similarity": Out("number")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        a, b = given.items("a"), given.items("b")
        if len(a) != len(b):
            raise InvalidRequest(
                f"a has {len(a)} numbers and b {len(b)}: only embeddings of one model can be compared",
                "invalid_value",
                "b",
            )
        length = math.hypot(*a) * math.hypot(*b)
        if not math.isfinite(length) or length == 0:
            raise InvalidRequest("an embedding of zeros has no direction", "invalid_value", "a")
        return {"similarity": max(-1.0, min(1.0, sum(map(mul, a, b)) / length))}
