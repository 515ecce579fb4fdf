"""Projects: the parts of a tenant that have keys, budgets and limits of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from serve.auth.access import Caller
from serve.auth.limits import UNLIMITED, Limits, limits_from, valid_limits
from serve.auth.tenants import is_name, valid_name
from serve.domain.errors import Conflict, NotFound, PermissionDenied
from serve.domain.names import ProjectName, TenantName
from serve.domain.ports import Clock
from serve.storage.records import Records, insert_if_absent
from serve.storage.tables import projects


@dataclass(frozen=True, slots=True)
class Project:
    """A project of a tenant."""

    tenant: TenantName
    name: ProjectName
    created_ms: int
    limits: Limits = UNLIMITED


class Projects:
    """The projects of this installation's tenants."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    async def list(self, tenant: str) -> list[Project]:
        """The tenant's projects, by name."""
        query = select(projects).where(projects.c.tenant == tenant).order_by(projects.c.name)
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_project(row) for row in rows]

    async def get(self, tenant: str, name: str) -> Project:
        """Raises NotFound."""
        if is_name(name):
            query = select(projects).where(projects.c.tenant == tenant, projects.c.name == name)
            async with self._records.read() as connection:
                row = (await connection.execute(query)).mappings().one_or_none()
            if row is not None:
                return _project(row)
        raise NotFound(f"There is no project {name[:80]!r}. `slipway projects list` lists them.")

    async def create(self, tenant: str, name: str, limits: Limits, by: Caller) -> Project:
        """Make a project of a tenant that exists. Raises InvalidRequest, PermissionDenied, Conflict if it is there."""
        _check_reach(by)
        row = {"tenant": tenant, "name": valid_name(name, "name"), "created_ms": self._clock.now_ms()}
        async with self._records.write() as connection:
            if not await insert_if_absent(connection, projects, row | {"limits": valid_limits(limits).row()}):
                raise Conflict(f"There is a project {name!r} already; choose another name.", param="name")
        return await self.get(tenant, name)

    async def change(self, tenant: str, name: str, limits: Limits, by: Caller) -> Project:
        """Set the project's limits. Gateways know within seconds. Raises NotFound, InvalidRequest, PermissionDenied."""
        _check_reach(by)
        await self.get(tenant, name)
        values = {"limits": valid_limits(limits).row()}
        of_project = projects.c.tenant == tenant, projects.c.name == name
        async with self._records.write() as connection:
            await connection.execute(update(projects).where(*of_project).values(**values))
        return await self.get(tenant, name)


def _check_reach(by: Caller) -> None:
    """A key of one project must not loosen what bounds it, nor make projects beside its own."""
    if not by.reaches_tenant:
        raise PermissionDenied(
            f"This key is of the project {by.project!r} alone. Projects are changed by an owner who has logged in, "
            "or with an admin key."
        )


def _project(row: Mapping[Any, Any]) -> Project:
    return Project(TenantName(row["tenant"]), ProjectName(row["name"]), row["created_ms"], limits_from(row["limits"]))
