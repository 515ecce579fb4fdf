"""What is wrong with a workflow, as it is answered."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from serve.domain import validation
from serve.domain.errors import InvalidWorkflow
from serve.domain.workflow import WorkflowSpec
from serve.workflow.problems import Problem

Told = dict[str, str | None]
"""A problem: node, field, code, message, severity."""
_NODE_FIELD = re.compile(r"nodes\.([a-z][a-z0-9_]{0,39})(?:\.(.+))?", re.DOTALL)


def told(problems: Sequence[Problem]) -> list[Told]:
    """Problems as they are answered: what keeps the workflow from running first, each kind in the order given."""
    return [_told(one) for one in sorted(problems, key=lambda one: not one.is_error)]


def _told(problem: Problem) -> Told:
    severity = "error" if problem.is_error else "warning"
    return {
        "node": problem.node,
        "field": problem.field,
        "code": problem.code.value,
        "message": problem.message,
        "severity": severity,
    }


def invalid_workflow(problems: Sequence[Problem]) -> InvalidWorkflow:
    """The error that tells of problems, of which at least one is an error."""
    first = next(problem for problem in problems if problem.is_error)
    return _error(told(problems), first.param)


def read_workflow(value: Mapping[str, Any], path: str = "") -> WorkflowSpec:
    """The workflow that JSON writes. `path` is where in the body it is.

    Raises:
        InvalidWorkflow: it is no workflow/v1, with everything that keeps it from being one.
    """
    try:
        return WorkflowSpec.model_validate(value)
    except ValidationError as error:
        raise malformed(error, value, path) from None


def malformed(error: ValidationError, value: object, path: str = "", skip: str = "") -> InvalidWorkflow:
    """What pydantic says of a document, told as problems are. Within the document, `skip` leads to the workflow."""
    if (num := error.error_count()) > validation.MAX_ERRORS:
        many = f"The workflow has {num} problems."
        return _error([{"node": None, "field": None, "code": "too_large", "message": many, "severity": "error"}], None)
    found = validation.problems(error, value)
    params = [problem.param for problem in found]
    return _error([_shape(problem, skip) for problem in found], ".".join(filter(None, (path, params[0]))) or None)


def _shape(problem: validation.Problem, skip: str) -> Told:
    where = f"{problem.param or ''}.".removeprefix(skip).rstrip(".") or _named_field(problem)
    node = _NODE_FIELD.fullmatch(where)
    return {
        "node": node[1] if node else None,
        "field": (node[2] if node else where) or None,
        "code": problem.code,
        "message": problem.sentence(),
        "severity": "error",
    }


def _named_field(problem: validation.Problem) -> str:
    """A rule over the whole document names the field at fault first."""
    first_word = problem.says.partition(":")[0]
    return first_word if first_word in WorkflowSpec.model_fields else ""


def _error(problems: list[Told], param: str | None) -> InvalidWorkflow:
    errors = [problem for problem in problems if problem["severity"] == "error"]
    more = f" ({len(errors) - 1} more in `problems`)" if len(errors) > 1 else ""
    where = f"node {errors[0]['node']}: " if errors[0]["node"] else ""
    return InvalidWorkflow(f"{where}{errors[0]['message']}{more}", "", param, None, problems)
