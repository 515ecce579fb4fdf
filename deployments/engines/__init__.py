"""Engines: the sole importers of model libraries. They know a spec, weights on disk, and `ModelCall`; nothing of Ray.

engine              the Protocol that a replica holds
echo                deterministic words at a set pace; json_instances makes its JSON, echo_images its pictures,
                    echo_adapters what its answers say of adapters
vllm                AsyncLLM behind the Protocol; vllm_requests talks to it, engine_pulse watches it
vllm_adapters       mixtures of adapters that vLLM has loaded; vllm_adapter_files reads and writes them, slots keeps who
                    finds no room in order, vllm_cpu_lora applies them on a CPU, own_folder is where they lie
diffusion           pictures, batched at the denoising step: a package with a map of its own
adapter_files       an adapter's files, checked as they are read, for every engine
generation_plan     from validated inputs to what a sampler is told: pure
chat_format         from messages and tools to what a chat template takes: pure
tools               from generated text to tool calls, in whatever pieces it comes: pure
structured          which JSON Schemas are taken, and proof that they compile before they are admitted
tokenization        text to ids beside the event loop, with refusals that cost nothing
coalescing          what is ready together goes together
embeddings          sentence vectors through transformers, batched over concurrent calls
"""
