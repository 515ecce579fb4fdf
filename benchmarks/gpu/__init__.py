"""What the engine reaches on a GPU, for one rented hour: `benchmarks/gpu.sh` runs it, stage by stage.

It knows torch, diffusers, transformers and the engine, and needs nothing else: no Ray, no weights, no network.
"""
