"""The UNet's forward pass: as it is, or compiled and recorded for fixed row counts.

A pass at 1024 x 1024 launches some two thousand kernels. On a fast GPU launching takes longer than computing, until the
batch is large; a recorded CUDA graph launches once. Recording needs fixed shapes, hence buckets of rows, padded.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deployments.engines.diffusion import memory
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.rows import Bound, Rows

logger = logging.getLogger(__name__)

BUCKETS = (1, 2, 4, 8, 16, 32)
_MAX_GRAPHS = 24
"""Each holds its own inputs and output; the memory between them is one pool."""
_WARM_UP_PASSES = 3
"""Before recording: compilation, algorithm choice and lazy allocations must be over."""
_MAX_COMPILED = {"recompile_limit": 1024, "accumulated_recompile_limit": 4096}
"""All blocks share one piece of code, which is compiled for each of their widths, each row count and each picture's
size. PyTorch gives up at eight, with an error."""

_Key = tuple[tuple[tuple[int, ...], ...], Bound | None]
"""Shapes of the rows, and what is bound to the layers: it is read where it lies."""


class EagerPredictor:
    """Any number of rows, as they come."""

    buckets: Sequence[int] = ()

    def __init__(self, bundle: Bundle) -> None:
        self._unet = bundle.unet
        self._dtype = bundle.dtype

    def __call__(self, rows: Rows) -> torch.Tensor:
        """See Predictor."""
        added = None if rows.pooled is None else {"text_embeds": rows.pooled, "time_ids": rows.time_ids}
        sample = rows.sample.to(self._dtype, memory_format=torch.channels_last)
        out: torch.Tensor = self._unet(
            sample, rows.timesteps, encoder_hidden_states=rows.context, added_cond_kwargs=added, return_dict=False
        )[0]
        return out.float()

    def settle(self, max_rows: int) -> None:
        """See Predictor: nothing is prepared."""

    def forget(self) -> None:
        """See Predictor: nothing is kept."""


@dataclass(slots=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    inputs: Rows
    output: torch.Tensor


class GraphPredictor:
    """Compiled blocks, one CUDA graph per (rows, shape); the least recently used is dropped.

    Compiling takes seconds to a minute for each shape, so it is done at the start, for the shape the model was made
    for; once settled, other shapes run uncompiled blocks, still recorded as graphs, which takes a few passes.
    Adapters are read where the arena lays them: what is laid there later is seen by every graph that was recorded with
    that buffer. Merged weights lie elsewhere than the base's, and no graph is recorded with them.
    """

    buckets: Sequence[int] = BUCKETS

    def __init__(self, bundle: Bundle, *, compile: bool = True, max_graphs: int = _MAX_GRAPHS) -> None:
        if compile:
            bundle.unet.compile_repeated_blocks(fullgraph=True, dynamic=False)
        self._compiled = [block for block in bundle.unet.modules() if block._compiled_call_impl is not None]
        self._eager = EagerPredictor(bundle)
        self._max_graphs = max_graphs
        self._is_settled = False
        self._recorded: OrderedDict[_Key, _Recorded | None] = OrderedDict()
        self._pool = torch.cuda.graph_pool_handle()
        # Kernels keep the priority of the stream they were recorded on; decoding runs at a lower one.
        self._stream = torch.cuda.Stream(priority=-1)  # type: ignore[no-untyped-call]  # torch's

    def __call__(self, rows: Rows) -> torch.Tensor:
        """See Predictor. A shape that cannot be recorded runs as it is, and says so once in the log."""
        if rows.is_merged:
            return self._run(rows)
        key = rows.shape, rows.bound
        if key not in self._recorded:
            self._recorded[key] = self._record(rows)
            if len(self._recorded) > self._max_graphs:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        recorded = self._recorded[key]
        if recorded is None:
            return self._run(rows)
        recorded.inputs.copy_(rows)
        recorded.graph.replay()
        return recorded.output.clone()

    def settle(self, max_rows: int) -> None:
        """See Predictor."""
        self._is_settled = True
        for key in [key for key in self._recorded if key[0][0][0] > max_rows]:
            del self._recorded[key]
        memory.release()

    def forget(self) -> None:
        """See Predictor. Graphs of one pool give their memory back together."""
        self._recorded.clear()
        self._pool = torch.cuda.graph_pool_handle()

    def _record(self, rows: Rows) -> _Recorded | None:
        held = rows.clone()
        try:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._prepare(held)
            torch.cuda.current_stream().wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads (decoding) may allocate while this one records.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                output = self._run(held)
        except Exception as error:
            is_forbidden = "captur" in str(error).lower()  # an operation that no graph can hold; the device is well
            if memory.is_out_of_memory(error) or (isinstance(error, torch.AcceleratorError) and not is_forbidden):
                raise
            logger.warning("no CUDA graph for %s: running it step by step", tuple(held.sample.shape), exc_info=True)
            return None
        return _Recorded(graph, held, output)

    def _prepare(self, rows: Rows) -> None:
        """Compile, choose algorithms, allocate. Blocks that cannot be compiled (no C compiler, say) run as they are."""
        try:
            self._warm_up(rows)
        except Exception as error:
            if memory.is_out_of_memory(error) or not self._compiled:
                raise
            logger.warning("the model's blocks cannot be compiled here: running them as they are", exc_info=True)
            for block in self._compiled:
                block._compiled_call_impl = None
            self._compiled = []
            self._warm_up(rows)

    def _warm_up(self, rows: Rows) -> None:
        # The compiler's setting belongs to the thread, so it is made where compiling happens.
        with torch._dynamo.config.patch(_MAX_COMPILED):
            for _ in range(_WARM_UP_PASSES):
                self._run(rows)

    def _run(self, rows: Rows) -> torch.Tensor:
        if not self._compiled:
            return self._eager(rows)
        with torch.compiler.set_stance("eager_on_recompile" if self._is_settled else "default"):
            return self._eager(rows)
