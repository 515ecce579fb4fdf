"""Problems as they are found: collected, bounded in number, and told in the order of the document."""

from collections.abc import Iterable

from serve.workflow.compiling.references import Place, Wrong
from serve.workflow.problems import Code, Problem

MAX_PROBLEMS = 1000
"""That are told of one workflow; a hostile one could have a hundred thousand."""


MAX_KEY = 80
"""Characters of a key that a field repeats."""


class Findings:
    """The problems of one document."""

    def __init__(self) -> None:
        self._found: dict[str | None, list[Problem]] = {}
        self.num_found = 0
        """Warnings and what is not told included."""
        self._in_error: set[str | None] = set()

    def add(self, code: Code, message: str, node: str | None = None, field: str | None = None) -> None:
        """One more. Of those beyond the limit only the number counts."""
        self.num_found += 1
        problem = Problem(code, message, node, field)
        if problem.is_error:
            self._in_error.add(node)
        if self.num_found <= MAX_PROBLEMS:
            self._found.setdefault(node, []).append(problem)

    def add_wrong(self, wrong: Iterable[Wrong], node: str | None, field: str) -> None:
        """Several about one value; their places are within it."""
        for code, place, sentence in wrong:
            self.add(code, sentence, node, field_at(field, place))

    def is_in_error(self, node: str | None) -> bool:
        """Whether there is an error about this node."""
        return node in self._in_error

    def told(self, nodes: Iterable[str]) -> list[Problem]:
        """All of them: about the document first, then by node in this order."""
        problems = [*self._found.get(None, ())]
        for node in nodes:
            problems += self._found.get(node, ())
        if self.num_found > MAX_PROBLEMS:
            more = self.num_found - MAX_PROBLEMS
            problems.append(Problem(Code.TOO_LARGE, f"{more} more problems are not told; mend these first"))
        return problems


def field_at(field: str, place: Place) -> str:
    """`inputs.messages.0.content`: a place within a field. Long keys are cut: a document repeats them in no problem."""
    return ".".join((field, *(str(step)[:MAX_KEY] for step in place)))
