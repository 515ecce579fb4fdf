"""Engines: the sole importers of model libraries. They know a spec, weights on disk, and `ModelCall`; nothing of Ray.

engine              the Protocol that a replica holds
echo                deterministic words at a set pace; json_instances makes its JSON
vllm                AsyncLLM behind the Protocol; vllm_requests talks to it, engine_pulse watches it
generation_plan     from validated inputs to what a sampler is told: pure
chat_format         from messages and tools to what a chat template takes: pure
tools               from generated text to tool calls, in whatever pieces it comes: pure
structured          which JSON Schemas are taken, and proof that they compile before they are admitted
tokenization        text to ids beside the event loop, with refusals that cost nothing
coalescing          what is ready together goes together
embeddings          sentence vectors through transformers, batched over concurrent calls
"""
