"""`python -m operators`: one operator for one namespace, until it is told to stop.

It goes to the cluster that KUBECONFIG names, or else to the one that it runs in.
"""

import asyncio
import logging

import kopf

from operators.cluster import Cluster, open_api
from operators.handlers import watch_registry, watch_settings
from operators.metrics import OperatorMetrics
from operators.probes import probes
from operators.reader import DOCUMENTS, watched
from operators.reconciling import Reconciler
from operators.settings import OperatorSettings
from serve.clock import SystemClock
from serve.settings import LogSettings
from serve.telemetry import logs

logger = logging.getLogger(__name__)


class KindsMissing(Exception):
    """Nothing can be done before the custom resources are defined."""


async def operate(settings: OperatorSettings) -> None:
    """Run until a signal, or until what watches fails for good.

    Raises:
        KindsMissing: this cluster does not know ours.
    """
    clock, metrics = SystemClock(), OperatorMetrics()
    cluster = Cluster(await open_api(), settings)
    reconciler = Reconciler(cluster, settings, clock, metrics)
    try:
        async with probes(reconciler, metrics, settings, clock) as ports:
            await reconciler.open()
            _demand(reconciler)
            logger.info("operating", extra={"namespace": settings.namespace, **ports})
            await _watch(reconciler, metrics, settings)
    finally:
        await reconciler.close()
        await cluster.close()


async def _watch(reconciler: Reconciler, metrics: OperatorMetrics, settings: OperatorSettings) -> None:
    # Before kopf's: what runs when it starts is left alone when it ends.
    passes = asyncio.create_task(reconciler.run(), name="passes")
    try:
        await kopf.operator(
            registry=watch_registry(reconciler, metrics),
            settings=watch_settings(watched(reconciler.reader.kinds)),
            namespaces=[settings.namespace],
            standalone=True,
        )
    finally:
        passes.cancel()
        await asyncio.gather(passes, return_exceptions=True)


def _demand(reconciler: Reconciler) -> None:
    served = {kind for _, kind in reconciler.reader.kinds}
    if missing := sorted(DOCUMENTS - served):
        raise KindsMissing(f"this cluster does not know {', '.join(missing)}: install the chart's crds/ first")
    if "RayService" not in served:
        logger.error("this cluster does not know RayService: install KubeRay, and restart this pod")


def main() -> None:
    """Read the settings, and run."""
    settings = OperatorSettings()
    logs.configure(LogSettings(level=settings.log_level, format=settings.log_format))
    for name in ("kopf", "aiohttp.access"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    try:
        asyncio.run(operate(settings))
    except KindsMissing as missing:
        raise SystemExit(str(missing)) from None


if __name__ == "__main__":
    main()
