"""Which state of a draft a request says it has seen: `If-Match`, `If-None-Match` and `ETag` (RFC 9110)."""

from starlette.requests import Request

from serve.domain.errors import InvalidRequest
from serve.workflow.library.library import ABSENT


def etag(revision: str) -> str:
    """The header's value for a revision."""
    return f'"{revision}"'


def seen_revision(request: Request) -> str | None:
    """The revision of the one `If-Match`; None where there is none, or any will do (`*`). Raises InvalidRequest."""
    given = request.headers.getlist("if-match")
    if not given or given == ["*"]:
        return None
    revision = given[0].strip().removeprefix("W/").strip('"')
    if len(given) > 1 or not revision or "," in revision:
        raise InvalidRequest("If-Match names one revision.", "invalid_header", "if-match")
    return revision


def replaced_revision(request: Request) -> str | None:
    """The revision that a save is to replace: ABSENT where there must be none yet, which is also what a save without
    a word means; None where any will do, which has to be said (`If-Match: *`). Raises InvalidRequest."""
    is_new = request.headers.getlist("if-none-match")
    if is_new and (is_new != ["*"] or "if-match" in request.headers):
        raise InvalidRequest(
            'Send If-Match: "<revision>" of the draft, or for a new workflow If-None-Match: *.',
            "invalid_header",
            "if-none-match",
        )
    return seen_revision(request) if "if-match" in request.headers else ABSENT
