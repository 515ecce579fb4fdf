"""What vLLM reports of itself at every step: whether it is alive, and how busy."""

import time
from collections.abc import Callable
from typing import Any


class EnginePulse:
    """A stat logger for AsyncLLM (`stat_loggers=[pulse.attach]`). It counts; it logs nothing.

    vLLM's interface for these is declared unstable, so only what is used here is implemented.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last_step_at = monotonic()
        self.num_steps = 0
        self.num_running = 0
        self.num_waiting = 0
        self.kv_cache_usage = 0.0
        self.preempted = 0

    def attach(self, vllm_config: Any, engine_index: int = 0) -> "EnginePulse":
        """The factory that vLLM asks for a logger."""
        return self

    def quiet_seconds(self) -> float:
        """Since the last step."""
        return self._monotonic() - self._last_step_at

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """Called by vLLM after a step."""
        self._last_step_at = self._monotonic()
        self.num_steps += 1
        if scheduler_stats is not None:
            self.num_running = scheduler_stats.num_running_reqs
            self.num_waiting = scheduler_stats.num_waiting_reqs
            self.kv_cache_usage = scheduler_stats.kv_cache_usage
        if iteration_stats is not None:
            self.preempted += iteration_stats.num_preempted_reqs

    def log(self) -> None:
        """Called by vLLM every few seconds."""

    def log_engine_initialized(self) -> None:
        """Called by vLLM once."""
