"""The operation that writes into a finished picture's file what `OperationStep.metadata` says. Workflows do not have
it: the platform adds it to what a run gives."""

from collections.abc import Mapping
from typing import Any

from serve.domain.media import Asset
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.operation import Files, In, OnFiles, Out


class Inscribe(OnFiles):
    """Gives a new asset with the same pixels, bit for bit."""

    name = "image.inscribe"
    title = "Inscribe"
    description = "Writes into a PNG file how it was made, without encoding it anew."
    category = "Image"
    inputs = {"image": In("image", "The picture.")}
    outputs = {"image": Out("image")}

    async def apply(self, values: Mapping[str, Any], files: Files) -> Mapping[str, Any]:
        """See `OnFiles`. What is no PNG stays as it is, under its own id."""
        image: Asset = Given(self, values).needed("image")
        if image.media_type != "image/png":
            return {"image": image}
        data = await files.read(image)
        name, width, height = image.name or "image.png", image.width or 0, image.height or 0
        return {"image": await files.write(name, data, image.media_type, width, height)}
