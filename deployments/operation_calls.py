"""Operations on files as runners reach them: `serve.domain.steps.Operations` over a Ray Serve handle."""

import logging
from collections.abc import Mapping
from typing import Any

from ray import serve as ray_serve
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError
from ray.serve.handle import DeploymentHandle

from serve.domain.errors import Canceled, EngineFailed, ModelUnavailable, Overloaded, ReplicaLost, SlipwayError
from serve.domain.steps import OperationStep
from serve.serving.serve_config import OPERATIONS_APP, OPERATIONS_DEPLOYMENT

_log = logging.getLogger(__name__)


class RayOperations:
    """The operations' application."""

    def __init__(self) -> None:
        self._handle: DeploymentHandle[object] | None = None

    async def perform(self, step: OperationStep) -> Mapping[str, Any]:
        """See `Operations`."""
        if self._handle is None:
            self._handle = ray_serve.get_deployment_handle(OPERATIONS_DEPLOYMENT, OPERATIONS_APP, _check_exists=False)
        response = self._handle.perform.remote(step)
        is_answered = False
        try:
            outputs: Mapping[str, Any] = await response
            is_answered = True
        except (RayError, BackPressureError, DeploymentUnavailableError, RequestCancelledError) as error:
            raise _translated(error) from error
        finally:
            if not is_answered:
                response.cancel()  # type: ignore[no-untyped-call]  # Ray's
        return outputs


def _translated(error: BaseException) -> SlipwayError:
    """Ray's word for a failure in ours."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, SlipwayError):
        return error.cause
    if isinstance(error, RayActorError):
        return ReplicaLost("The replica that worked on the operation went away. Retry.")
    if isinstance(error, BackPressureError):
        return Overloaded("There is no room for more operations. Retry later.", "queue_full", None, 1.0)
    if isinstance(error, RequestCancelledError):
        return Canceled("The operation was canceled.")
    if isinstance(error, DeploymentUnavailableError):
        return ModelUnavailable("The operations cannot start.", "operations_unavailable", None, 5.0)
    _log.error("an operation failed", exc_info=error)
    return EngineFailed("The operation failed.")
