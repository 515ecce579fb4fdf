"""Two echoes: one that answers at once, for requests a second, and one that takes its time, for what is added to it."""

from serve.domain.documents import API_VERSION, ModelDocument

INSTANT = "bench-instant"
PACED = "bench-paced"
PREFILL_MS = 20.0
TOKEN_MS = 10.0


def _document(name: str, prefill_ms: float, token_ms: float) -> ModelDocument:
    engine = {"kind": "echo", "maxConcurrency": 64, "prefillMs": prefill_ms, "tokenMs": token_ms}
    spec = {
        "family": "llm",
        "tasks": ["chat"],
        "card": {"title": name},
        "engine": engine,
        "scaling": {"replicas": 1},
    }
    return ModelDocument.model_validate(
        {"apiVersion": API_VERSION, "kind": "Model", "metadata": {"name": name}, "spec": spec}
    )


ECHO_MODELS = (_document(INSTANT, 0, 0), _document(PACED, PREFILL_MS, TOKEN_MS))
