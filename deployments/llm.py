"""The llm family: chat, completion and embedding of text."""

from pathlib import Path

from ray import serve as ray_serve

from deployments.engines.echo import EchoEngine
from deployments.engines.engine import Engine
from deployments.entry import behind_entry
from deployments.replica import ModelArgs, ModelReplica
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.documents import ModelDocument, TransformersEngine, VllmEngine
from serve.domain.errors import Unprocessable
from serve.serving.serve_config import REPLICA_DEPLOYMENT


class LlmReplica(ModelReplica):
    """A replica of a language model. Engines are imported when they are needed: vLLM alone takes many seconds."""

    def make_engine(self, document: ModelDocument, weights: Path | None) -> Engine:
        """See `ModelReplica`."""
        spec = document.spec.engine
        if isinstance(spec, EchoSpec):
            return EchoEngine(spec)
        if weights is None or not isinstance(spec, TransformersEngine | VllmEngine):
            raise Unprocessable(f"The model {document.name} has no weights.", "weights_missing")
        if isinstance(spec, TransformersEngine):
            from deployments.engines.embeddings import TransformersEngine as Embeddings

            return Embeddings(spec, weights, document.spec.placement.gpus)
        from deployments.engines.vllm import VllmEngine as Vllm

        return Vllm(spec, weights, document.name, document.spec.placement.gpus, document.spec.adapters)


def build(args: ModelArgs) -> ray_serve.Application:
    """The application of one language model."""
    return behind_entry(ray_serve.deployment(name=REPLICA_DEPLOYMENT)(LlmReplica).bind(args))
