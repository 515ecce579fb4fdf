"""Every error that crosses a part's border.

    SlipwayError                 code, message, param; `retry_after_seconds` where waiting helps
    ├── InvalidRequest           the caller's words are wrong
    │   └── PayloadTooLarge      ... or too many
    ├── Unauthenticated          no key, or none that we know
    ├── PermissionDenied         a key that may not do this
    ├── NotFound                 no such thing, or not yours: the same answer
    ├── Conflict                 the thing is there already, in another shape, or in another's hands
    ├── Unprocessable            well formed, and still impossible (a wrong base model)
    │   └── InvalidWorkflow      a workflow that cannot run as it is written, with everything that is wrong with it
    ├── Overloaded               the queue is full
    │   └── RateLimited          ... of what a key, project or tenant may ask for in a minute
    ├── QuotaExceeded            a budget, the credit, or a cap is used up: trying again does not help
    ├── ModelUnavailable         loading, being replaced, or gone
    ├── DeadlineExceeded         the caller's own deadline passed
    ├── Canceled                 the caller, or the caller's run, said stop
    ├── LoginUnavailable         the identity provider does not answer, or not as one does
    ├── StorageUnavailable       the blob store does not answer, or refuses us
    ├── MeteringUnavailable      usage could not be written down, so no work is begun
    └── EngineFailed             ours: the engine broke, a replica died
        └── ReplicaLost          the replica died under the call; another attempt may succeed

HTTP statuses are chosen in `serve.gateway.errors` alone. Errors travel through Ray by pickle, which rebuilds an
exception from `args`: so constructors are positional and hand exactly their arguments to `Exception.__init__`.
"""

from collections.abc import Mapping, Sequence


class SlipwayError(Exception):
    """An error with a machine code, a sentence that says what to do, and the path of the field it is about."""

    default_code = "internal_error"

    def __init__(
        self, message: str, code: str = "", param: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code, param, retry_after_seconds)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return self.message


class InvalidRequest(SlipwayError):
    """The request can never succeed as it is written."""

    default_code = "invalid_request"


class PayloadTooLarge(InvalidRequest):
    """The body, or what it unpacks to, is over a limit."""

    default_code = "payload_too_large"


class Unauthenticated(SlipwayError):
    """No key was given, or none that is valid."""

    default_code = "invalid_api_key"


class PermissionDenied(SlipwayError):
    """The key is valid, and lacks the scope or the model."""

    default_code = "permission_denied"


class NotFound(SlipwayError):
    """Unknown here; what belongs to another tenant answers just so."""

    default_code = "not_found"


class Conflict(SlipwayError):
    """The request contradicts what is stored."""

    default_code = "conflict"


class Unprocessable(SlipwayError):
    """Understood, and impossible."""

    default_code = "unprocessable"


class InvalidWorkflow(Unprocessable):
    """A workflow that cannot run. `problems` are all that is wrong with it, each with node, field, code, message and
    severity, as they are answered."""

    default_code = "invalid_workflow"

    def __init__(
        self,
        message: str,
        code: str = "",
        param: str | None = None,
        retry_after_seconds: float | None = None,
        problems: Sequence[Mapping[str, str | None]] = (),
    ) -> None:
        super().__init__(message, code, param, retry_after_seconds)
        self.args = (message, code, param, retry_after_seconds, problems)
        self.problems = problems


class Overloaded(SlipwayError):
    """No room to wait in; `retry_after_seconds` says when there may be."""

    default_code = "overloaded"


class RateLimited(Overloaded):
    """More requests, tokens or images in a minute than are allowed; `retry_after_seconds` says when there is room."""

    default_code = "rate_limit_exceeded"


class QuotaExceeded(SlipwayError):
    """What may be spent is spent or spoken for. Clients must not repeat the call by themselves."""

    default_code = "insufficient_quota"


class MeteringUnavailable(SlipwayError):
    """The journal is full or its disk fails: what could not be accounted for is not done."""

    default_code = "metering_unavailable"


class ModelUnavailable(SlipwayError):
    """The model cannot take calls at this moment."""

    default_code = "model_unavailable"


class DeadlineExceeded(SlipwayError):
    """The deadline that the caller set has passed."""

    default_code = "deadline_exceeded"


class Canceled(SlipwayError):
    """Stopped on request."""

    default_code = "canceled"


class LoginUnavailable(SlipwayError):
    """The identity provider is away, or says what none may say; keys work on. The sentence is for people."""

    default_code = "login_unavailable"


class StorageUnavailable(SlipwayError):
    """The database or the blob store does not answer, refuses our keys, or is full; the sentence is for the log."""

    default_code = "storage_unavailable"


class EngineFailed(SlipwayError):
    """The engine failed; the details are in the log, not in the answer."""

    default_code = "engine_failed"


class ReplicaLost(EngineFailed):
    """The replica went away in the middle of the call."""

    default_code = "replica_lost"
