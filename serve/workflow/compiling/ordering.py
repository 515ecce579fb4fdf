"""The order of a workflow's nodes, and the cycles that leave it without one. Everything here is linear in the number
of references, and uses no stack: a document may be one long chain."""

from collections.abc import Collection, Iterable, Iterator, Mapping

Needs = Mapping[str, Collection[str]]
"""What each name needs. What has no entry of its own needs nothing, and is left out."""


def ordered(needs: Needs) -> list[str]:
    """The names such that each comes after what it needs; those on cycles, or behind one, are not among them."""
    num_open = {name: sum(other in needs for other in others) for name, others in needs.items()}
    followers = _reversed(needs)
    ready = [name for name, count in num_open.items() if not count]
    for name in ready:
        for follower in followers[name]:
            num_open[follower] -= 1
            if not num_open[follower]:
                ready.append(follower)
    return ready


def cycles(needs: Needs, order: Iterable[str]) -> list[list[str]]:
    """One cycle of every knot among what `ordered` left out: each name needs the next, and the last the first."""
    left = dict(needs)
    for name in order:
        left.pop(name, None)
    return [cycle for knot in _knots(left) if (cycle := _cycle(knot, left))]


def reachable(wanted: Iterable[str], needs: Needs) -> set[str]:
    """These names and all that they need, directly or not."""
    found: set[str] = set()
    waiting = [name for name in wanted if name in needs]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for other in needs[name] if other in needs and other not in found]
    return found


def _reversed(needs: Needs) -> dict[str, list[str]]:
    followers: dict[str, list[str]] = {name: [] for name in needs}
    for name, others in needs.items():
        for other in others:
            if other in followers:
                followers[other].append(name)
    return followers


def _knots(needs: Needs) -> Iterator[set[str]]:
    """The sets of names that all need one another (Kosaraju's algorithm: what is left last is looked at first, along
    the references turned round)."""
    followers = _reversed(needs)
    seen: set[str] = set()
    for start in reversed(_finished(needs)):
        if start in seen:
            continue
        knot, waiting = set[str](), [start]
        seen.add(start)
        while waiting:
            name = waiting.pop()
            knot.add(name)
            fresh = [other for other in followers[name] if other not in seen]
            seen.update(fresh)
            waiting += fresh
        yield knot


def _finished(needs: Needs) -> list[str]:
    """The names in the order in which a depth-first walk leaves them."""
    finished: list[str] = []
    seen: set[str] = set()
    for start in needs:
        trail = [(start, iter(needs[start]))] if start not in seen else []
        seen.add(start)
        while trail:
            name, others = trail[-1]
            fresh = next((other for other in others if other in needs and other not in seen), None)
            if fresh is None:
                finished.append(name)
                trail.pop()
            else:
                seen.add(fresh)
                trail.append((fresh, iter(needs[fresh])))
    return finished


def _cycle(knot: Collection[str], needs: Needs) -> list[str]:
    """Follow needs within a knot until a name comes again."""
    start = next(name for name in needs if name in knot)
    if len(knot) == 1 and start not in needs[start]:
        return []
    path: dict[str, int] = {}
    name = start
    while name not in path:
        path[name] = len(path)
        name = next(other for other in needs[name] if other in knot)
    return list(path)[path[name] :]
