"""The table of operations: what `op:<name>` means."""

from collections.abc import Mapping

from serve.workflow.nodes import (
    compositing,
    embeddings,
    flow,
    json_values,
    lists,
    masks,
    numbers,
    resizing,
    retouching,
    template,
    texts,
)
from serve.workflow.nodes.inscribing import Inscribe
from serve.workflow.operation import Operation

_ALL: tuple[Operation, ...] = (
    template.Template(),
    texts.Join(),
    texts.Split(),
    texts.Replace(),
    texts.Case(),
    texts.Trim(),
    texts.Test(),
    texts.Length(),
    numbers.Calculate(),
    numbers.Round(),
    numbers.ParseNumber(),
    numbers.FormatNumber(),
    numbers.CompareNumbers(),
    embeddings.Similarity(),
    json_values.Path(),
    json_values.Parse(),
    json_values.Write(),
    json_values.Object(),
    lists.Make(),
    lists.Collect(),
    lists.Concat(),
    lists.Zip(),
    lists.Select(),
    lists.Slice(),
    lists.Range(),
    lists.Repeat(),
    lists.Length(),
    flow.Condition(),
    flow.Switch(),
    flow.First(),
    flow.Logic(),
    flow.Constant(),
    flow.ConstantImage(),
    flow.ConstantMask(),
    resizing.Resize(),
    resizing.Crop(),
    resizing.Pad(),
    compositing.Composite(),
    compositing.Grid(),
    compositing.New(),
    retouching.Blur(),
    retouching.Rotate(),
    retouching.Flip(),
    retouching.Adjust(),
    retouching.Convert(),
    retouching.Info(),
    retouching.Statistics(),
    masks.FromColor(),
    masks.FromBox(),
    masks.FromImage(),
    masks.Invert(),
    masks.Grow(),
    masks.Combine(),
)
OPERATIONS: Mapping[str, Operation] = {operation.name: operation for operation in _ALL}
"""By name, without `op:`."""
INSCRIBE = Inscribe.name
"""The operation behind `image_metadata`."""
INTERNAL: Mapping[str, Operation] = {INSCRIBE: Inscribe()}
"""Performed like the others, and no nodes: the platform asks for them."""
