"""The UNet's forward pass: as it is, or compiled and recorded for fixed row counts.

A pass at 1024 x 1024 launches some two thousand kernels. On a fast GPU launching takes longer than computing, until the
batch is large; a recorded CUDA graph launches once. Recording needs fixed shapes, hence buckets of rows, padded.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deployments.engines.diffusion.bundle import Bundle

logger = logging.getLogger(__name__)

BUCKETS = (1, 2, 4, 8, 16, 32)
_MAX_GRAPHS = 24
"""Each holds its own inputs and output; the memory between them is one pool."""
_WARM_UP_PASSES = 3
"""Before recording: compilation, algorithm choice and lazy allocations must be over."""
_MAX_COMPILED = {"recompile_limit": 1024, "accumulated_recompile_limit": 4096}
"""All blocks share one piece of code, which is compiled for each of their widths, each row count and each picture's
size. PyTorch gives up at eight, with an error."""


class EagerPredictor:
    """Any number of rows, as they come."""

    buckets: Sequence[int] = ()

    def __init__(self, bundle: Bundle) -> None:
        self._unet = bundle.unet
        self._dtype = bundle.dtype

    def __call__(
        self,
        sample: torch.Tensor,
        timesteps: torch.Tensor,
        context: torch.Tensor,
        pooled: torch.Tensor | None,
        time_ids: torch.Tensor | None,
    ) -> torch.Tensor:
        """See Predictor."""
        added = None if pooled is None else {"text_embeds": pooled, "time_ids": time_ids}
        sample = sample.to(self._dtype, memory_format=torch.channels_last)
        out: torch.Tensor = self._unet(
            sample, timesteps, encoder_hidden_states=context, added_cond_kwargs=added, return_dict=False
        )[0]
        return out.float()


@dataclass(slots=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    inputs: list[torch.Tensor | None]
    output: torch.Tensor


class GraphPredictor:
    """Compiled blocks, one CUDA graph per (rows, shape); the least recently used is dropped.

    Weights are read where they lie, so what changes them in place (an adapter's slot) is seen by every graph.
    """

    buckets: Sequence[int] = BUCKETS

    def __init__(self, bundle: Bundle, *, compile: bool = True, max_graphs: int = _MAX_GRAPHS) -> None:
        if compile:
            bundle.unet.compile_repeated_blocks(fullgraph=True, dynamic=False)
        self._eager = EagerPredictor(bundle)
        self._max_graphs = max_graphs
        self._recorded: OrderedDict[tuple[tuple[int, ...], ...], _Recorded | None] = OrderedDict()
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(
        self,
        sample: torch.Tensor,
        timesteps: torch.Tensor,
        context: torch.Tensor,
        pooled: torch.Tensor | None,
        time_ids: torch.Tensor | None,
    ) -> torch.Tensor:
        """See Predictor. A shape that cannot be recorded runs as it is, and says so once in the log."""
        inputs = [sample, timesteps, context, pooled, time_ids]
        key = (tuple(sample.shape), tuple(context.shape))
        if key not in self._recorded:
            self._recorded[key] = self._record(inputs)
            if len(self._recorded) > self._max_graphs:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        recorded = self._recorded[key]
        if recorded is None:
            return self._eager(sample, timesteps, context, pooled, time_ids)
        for held, given in zip(recorded.inputs, inputs, strict=True):
            if held is not None and given is not None:
                held.copy_(given)
        recorded.graph.replay()
        return recorded.output.clone()

    def _record(self, inputs: list[torch.Tensor | None]) -> _Recorded | None:
        held = [None if given is None else given.clone() for given in inputs]
        try:
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's
            stream.wait_stream(torch.cuda.current_stream())
            # The compiler's setting belongs to the thread, so it is made where compiling happens.
            with torch.cuda.stream(stream), torch._dynamo.config.patch(_MAX_COMPILED):
                for _ in range(_WARM_UP_PASSES):
                    self._run(held)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads (decoding) may allocate while this one records.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                output = self._run(held)
        except torch.OutOfMemoryError:
            raise
        except Exception:
            logger.warning("no CUDA graph for %s: running it step by step", tuple(inputs[0].shape), exc_info=True)  # type: ignore[union-attr]
            return None
        return _Recorded(graph, held, output)

    def _run(self, inputs: list[torch.Tensor | None]) -> torch.Tensor:
        return self._eager(*inputs)  # type: ignore[arg-type]  # the first three are always there
