"""People, put together: who they are, what they are members of, and how they come in."""

from dataclasses import dataclass

from serve.auth.groups import GroupRoles
from serve.auth.keys import Keys
from serve.auth.log_in import Known, LogIn
from serve.auth.login_links import LoginLinks
from serve.auth.logins import Logins
from serve.auth.members import Members
from serve.auth.oidc import Provider
from serve.auth.projects import Projects
from serve.auth.sessions import Sessions
from serve.auth.tenants import Tenants
from serve.auth.users import Users
from serve.domain.ports import Clock, Ids
from serve.settings import Settings
from serve.storage.records import Records


@dataclass(frozen=True, slots=True)
class People:
    """Everything about people that routes call."""

    users: Users
    members: Members
    projects: Projects
    sessions: Sessions
    log_in: LogIn
    login_links: LoginLinks


def open_people(settings: Settings, records: Records, clock: Clock, ids: Ids, keys: Keys) -> People:
    """As the settings say. Raises ValueError for group roles that read like none."""
    users = Users(records, clock, ids)
    members = Members(records, clock, Tenants(records, clock))
    hours, fresh = settings.auth.session_hours, settings.gateway.key_cache_seconds
    sessions = Sessions(records, clock, (users, keys), hours, fresh)
    provider = Provider(settings.auth, clock) if settings.auth.issuer else None
    known = Known(records, users, members, sessions)
    groups = GroupRoles(settings.auth.group_roles)
    log_in = LogIn(provider, settings.auth.issuer, groups, Logins(records, clock), known)
    login_links = LoginLinks(records, clock, known, keys)
    return People(users, members, Projects(records, clock), sessions, log_in, login_links)
