"""Timing on a device that works on after it was told to."""

import statistics
import time
from collections.abc import Callable

import torch


def synchronise(device: str) -> None:
    """Wait until the device has done all that it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def once(run: Callable[[], object], device: str) -> float:
    """Seconds of `run` to the end of its work."""
    synchronise(device)
    began = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - began


def median_seconds(run: Callable[[], object], device: str, *, most: int = 10, enough_seconds: float = 3.0) -> float:
    """Run until it was run `most` times, or for `enough_seconds`; what is paid once must be paid already."""
    found: list[float] = []
    while len(found) < most and sum(found) < enough_seconds:
        found.append(once(run, device))
    return statistics.median(found)


def warm_seconds(
    run: Callable[[], object], device: str, *, num_warm_ups: int = 2, most: int = 10, enough_seconds: float = 3.0
) -> float:
    """The same after some runs that are not counted."""
    for _ in range(num_warm_ups):
        once(run, device)
    return median_seconds(run, device, most=most, enough_seconds=enough_seconds)
