"""The image_to_image family: models made for pictures from pictures alone, such as inpainting ones."""

from pathlib import Path

from ray import serve as ray_serve

from deployments.engines.echo import EchoEngine
from deployments.engines.engine import Engine
from deployments.entry import behind_entry
from deployments.replica import ModelArgs, ModelReplica
from serve.domain.documents import DiffusionEngine, ModelDocument
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.errors import Unprocessable
from serve.serving.serve_config import REPLICA_DEPLOYMENT


class ImageToImageReplica(ModelReplica):
    """A replica of an image-to-image model. The engine is imported when it is needed: its libraries take seconds."""

    def make_engine(self, document: ModelDocument, weights: Path | None) -> Engine:
        """See `ModelReplica`."""
        spec = document.spec.engine
        if isinstance(spec, EchoSpec):
            return EchoEngine(spec)
        if weights is None or not isinstance(spec, DiffusionEngine):
            raise Unprocessable(f"The model {document.name} has no weights.", "weights_missing")
        from deployments.engines.diffusion.front import DiffusionEngine as Diffusion

        return Diffusion(spec, weights, document.name, document.spec.placement.gpus, document.spec.adapters)


def build(args: ModelArgs) -> ray_serve.Application:
    """The application of one image-to-image model."""
    return behind_entry(ray_serve.deployment(name=REPLICA_DEPLOYMENT)(ImageToImageReplica).bind(args))
