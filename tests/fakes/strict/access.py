"""Who may do what: roles and bindings as they were applied."""

from collections.abc import Iterator
from dataclasses import dataclass

from fakes.strict.shapes import Manifest
from fakes.strict.store import Store

ADMINISTRATOR = "kubernetes-admin"


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants."""

    user: str
    verb: str
    group: str = ""
    resource: str = ""
    """Plural, with the subresource after a slash."""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f' in the namespace "{self.namespace}"' if self.namespace else " at the cluster scope"
        return f'cannot {self.verb} resource "{self.resource}" in API group "{self.group}"{where}'


def service_account(namespace: str, name: str) -> str:
    """The user that a service account is."""
    return f"system:serviceaccount:{namespace}:{name}"


def is_allowed(store: Store, ask: Ask) -> bool:
    """Whether some rule says so."""
    return ask.user == ADMINISTRATOR or any(_allows(rule, ask) for rule in _rules(store, ask))


def _rules(store: Store, ask: Ask) -> Iterator[Manifest]:
    group = "rbac.authorization.k8s.io"
    for (plural, namespace, _), binding in list(store.objects.items()):
        is_here = plural == f"clusterrolebindings.{group}" or (
            plural == f"rolebindings.{group}" and namespace == ask.namespace
        )
        if is_here and any(_is(subject, ask.user, namespace) for subject in binding.get("subjects") or ()):
            reference = binding["roleRef"]
            is_cluster = reference["kind"] == "ClusterRole"
            key = (
                f"{'cluster' if is_cluster else ''}roles.{group}",
                "" if is_cluster else namespace,
                reference["name"],
            )
            yield from (store.objects.get(key) or {}).get("rules") or ()


def _is(subject: Manifest, user: str, namespace: str) -> bool:
    if subject["kind"] == "ServiceAccount":
        return service_account(subject.get("namespace", namespace), subject["name"]) == user
    return subject["kind"] == "User" and subject["name"] == user


def _allows(rule: Manifest, ask: Ask) -> bool:
    return (
        _has(rule.get("verbs"), ask.verb)
        and _has(rule.get("apiGroups"), ask.group)
        and _has(rule.get("resources"), ask.resource)
        and (not rule.get("resourceNames") or ask.name in rule["resourceNames"])
    )


def _has(words: list[str] | None, word: str) -> bool:
    return bool({"*", word} & set(words or ()))
