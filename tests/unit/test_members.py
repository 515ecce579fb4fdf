"""Members: roles by groups and by hand, who may give what, and what goes when somebody goes."""

from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.gateway import settings_in
from hypothesis import given
from hypothesis import strategies as st

from serve.auth.access import ALL_SCOPES, Caller, Scope
from serve.auth.groups import Grants, GroupRoles
from serve.auth.keys import Keys
from serve.auth.limits import UNLIMITED, Limits
from serve.auth.people import People, open_people
from serve.auth.roles import ROLE_SCOPES, Role, user_key_id
from serve.auth.tenants import Billing, Tenants
from serve.auth.users import Identity, User
from serve.clock import Uuid7Ids
from serve.domain.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, Unauthenticated
from serve.domain.names import KeyId, ProjectName, TenantName
from serve.storage.records import Records

ADMIN = Caller(TenantName("default"), ProjectName("default"), KeyId("k"), ALL_SCOPES)


@pytest.fixture
def keys(records: Records, clock: ManualClock) -> Keys:
    return Keys(records, clock, 0)


@pytest.fixture
async def people(records: Records, clock: ManualClock, ids: CountingIds, keys: Keys, tmp_path: Path) -> People:
    for name in ("acme", "rival"):
        await Tenants(records, clock).create(name)
    return open_people(settings_in(tmp_path), records, clock, ids, keys)


async def user(people: People, records: Records, subject: str, **roles: Role) -> User:
    """Somebody who has logged in, with roles that groups grant."""
    async with records.write() as connection:
        made = await people.users.logged_in(connection, Identity("https://id.example", subject, f"{subject}@x.example"))
        await people.members.follow_groups(
            connection, made, Grants(False, {TenantName(tenant): role for tenant, role in roles.items()})
        )
    return made


def as_person(made: User, tenant: str, role: Role) -> Caller:
    key_id = user_key_id(made.id)
    return Caller(TenantName(tenant), ProjectName("default"), key_id, ROLE_SCOPES[role], user_id=made.id)


async def roles_in(people: People, tenant: str) -> dict[str, tuple[str, str]]:
    found = await people.members.list(tenant)
    return {member.user.identity.subject: (member.role.value, member.granted_by) for member in found}


async def test_groups_grant_and_take_and_hands_outlast_them(people: People, records: Records) -> None:
    ada = await user(people, records, "ada", acme=Role.VIEWER, rival=Role.DEVELOPER)
    assert await roles_in(people, "acme") == {"ada": ("viewer", "groups")}
    await people.members.set_role("acme", ada.id, Role.OWNER, ADMIN)
    await user(people, records, "ada", acme=Role.VIEWER)
    assert await roles_in(people, "acme") == {"ada": ("owner", "hand")}
    assert await roles_in(people, "rival") == {}
    await user(people, records, "ada")
    assert await roles_in(people, "acme") == {"ada": ("owner", "hand")}


async def test_an_owner_changes_members_and_takes_in_nobody_new(people: People, records: Records) -> None:
    ada = await user(people, records, "ada", acme=Role.OWNER)
    bob = await user(people, records, "bob", acme=Role.VIEWER)
    eve = await user(people, records, "eve", rival=Role.VIEWER)
    owner = as_person(ada, "acme", Role.OWNER)
    assert (await people.members.set_role("acme", bob.id, Role.DEVELOPER, owner)).role is Role.DEVELOPER
    for unknown in (eve.id, "nobody", "\x00"):
        with pytest.raises(NotFound):
            await people.members.set_role("acme", unknown, Role.VIEWER, owner)
        with pytest.raises(NotFound):
            await people.members.remove("acme", unknown, owner)
    await people.members.set_role("acme", eve.id, Role.VIEWER, ADMIN)
    assert set(await roles_in(people, "acme")) == {"ada", "bob", "eve"}


@pytest.mark.parametrize("role", Role)
async def test_nobody_gives_or_takes_a_role_with_more_than_their_own(
    people: People, records: Records, role: Role
) -> None:
    bob = await user(people, records, "bob", acme=role)
    with_members = ROLE_SCOPES[Role.DEVELOPER] | {Scope.MEMBERS}
    weak = Caller(TenantName("acme"), ProjectName("default"), KeyId("u"), with_members, user_id="somebody")
    if role is Role.OWNER:
        for change in (
            people.members.set_role("acme", bob.id, Role.VIEWER, weak),
            people.members.remove("acme", bob.id, weak),
        ):
            with pytest.raises(PermissionDenied):
                await change
    else:
        await people.members.set_role("acme", bob.id, Role.VIEWER, weak)
        await people.members.remove("acme", bob.id, weak)
    with pytest.raises(PermissionDenied):
        await people.members.set_role("acme", bob.id, Role.OWNER, weak)


async def test_a_key_of_one_project_changes_no_members_and_no_projects(people: People, records: Records) -> None:
    bob = await user(people, records, "bob", acme=Role.VIEWER)
    key = Caller(TenantName("acme"), ProjectName("search"), KeyId("k"), ALL_SCOPES - {Scope.ADMIN})
    for change in (
        people.members.set_role("acme", bob.id, Role.DEVELOPER, key),
        people.members.remove("acme", bob.id, key),
        people.projects.create("acme", "new", UNLIMITED, key),
        people.projects.change("acme", "default", UNLIMITED, key),
    ):
        with pytest.raises(PermissionDenied, match="project 'search' alone"):
            await change


async def test_the_keys_of_somebody_who_goes_end_unless_they_are_to_stay(
    people: People, records: Records, keys: Keys
) -> None:
    for keep_keys in (False, True):
        ada = await user(people, records, "ada", acme=Role.OWNER)
        owner = as_person(ada, "acme", Role.OWNER)
        _, token = await keys.create(tenant="acme", project="p", title="t", scopes=[Scope.READ], parent=owner)
        await people.members.remove("acme", ada.id, ADMIN, keep_keys=keep_keys)
        if keep_keys:
            assert (await keys.authenticate(token)).tenant == "acme"
        else:
            with pytest.raises(Unauthenticated):
                await keys.authenticate(token)


async def test_what_the_keys_of_somebody_who_goes_have_made_ends_too(
    people: People, records: Records, keys: Keys
) -> None:
    ada, bob = await user(people, records, "ada", acme=Role.OWNER), await user(people, records, "bob", acme=Role.OWNER)
    wanted = {"tenant": "acme", "project": "default", "title": "t", "scopes": [Scope.READ, Scope.KEYS]}
    _, of_bob = await keys.create(**wanted, parent=as_person(bob, "acme", Role.OWNER))
    _, token = await keys.create(**wanted, parent=as_person(ada, "acme", Role.OWNER))
    line = [token]
    for _ in range(3):
        _, token = await keys.create(**wanted, parent=await keys.authenticate(token))
        line.append(token)
    await people.members.remove("acme", ada.id, ADMIN)
    for token in line:
        with pytest.raises(Unauthenticated):
            await keys.authenticate(token)
    assert (await keys.authenticate(of_bob)).tenant == "acme"


@pytest.mark.parametrize("keep_keys", [False, True], ids=["end", "stay"])
async def test_with_a_lesser_role_the_keys_that_may_do_more_end(
    people: People, records: Records, keys: Keys, keep_keys: bool
) -> None:
    ada = await user(people, records, "ada", acme=Role.OWNER)
    owner, wanted = as_person(ada, "acme", Role.OWNER), {"tenant": "acme", "project": "p", "title": "t"}
    _, lesser = await keys.create(**wanted, scopes=[Scope.READ], parent=owner)
    _, greater = await keys.create(**wanted, scopes=[Scope.READ, Scope.KEYS], parent=owner)
    await people.members.set_role("acme", ada.id, Role.OWNER, ADMIN)
    assert (await keys.authenticate(greater)).tenant == "acme"
    await people.members.set_role("acme", ada.id, Role.DEVELOPER, ADMIN, keep_keys=keep_keys)
    assert (await keys.authenticate(lesser)).tenant == "acme"
    if keep_keys:
        assert (await keys.authenticate(greater)).tenant == "acme"
    else:
        with pytest.raises(Unauthenticated):
            await keys.authenticate(greater)


async def test_an_administrator_who_no_longer_is_one_keeps_the_keys_that_the_roles_allow(
    people: People, records: Records, keys: Keys
) -> None:
    ada = await user(people, records, "ada", acme=Role.OWNER)
    await people.users.set_admin(ada.id, True)
    admin = Caller(TenantName("acme"), ProjectName("p"), user_key_id(ada.id), ALL_SCOPES, user_id=ada.id)
    made = {}
    for tenant, scope in (("acme", Scope.KEYS), ("acme", Scope.ADMIN), ("rival", Scope.READ)):
        _, made[tenant, scope] = await keys.create(tenant=tenant, project="p", title="t", scopes=[scope], parent=admin)
    await people.users.set_admin(ada.id, False)
    assert (await keys.authenticate(made.pop(("acme", Scope.KEYS)))).tenant == "acme"
    for token in made.values():
        with pytest.raises(Unauthenticated):
            await keys.authenticate(token)


async def test_a_person_makes_keys_for_every_project_with_no_more_than_the_role_has_now(
    people: People, records: Records, keys: Keys
) -> None:
    ada = await user(people, records, "ada", acme=Role.OWNER)
    owner, wanted = as_person(ada, "acme", Role.OWNER), {"tenant": "acme", "project": "p", "title": "t"}
    info, _ = await keys.create(**wanted, scopes=[Scope.KEYS, Scope.BUDGETS], parent=owner)
    assert info.made_by == owner.key_id
    with pytest.raises(PermissionDenied):
        await keys.create(**wanted, scopes=[Scope.ADMIN], parent=owner)
    with pytest.raises(PermissionDenied):
        await keys.create(**wanted | {"tenant": "rival"}, scopes=[Scope.READ], parent=owner)
    await people.members.set_role("acme", ada.id, Role.VIEWER, ADMIN)
    with pytest.raises(PermissionDenied):
        await keys.create(**wanted, scopes=[Scope.INFERENCE], parent=owner)
    await people.members.remove("acme", ada.id, ADMIN)
    with pytest.raises(PermissionDenied):
        await keys.create(**wanted, scopes=[Scope.READ], parent=owner)


async def test_an_administrator_by_hand_stays_one_whatever_the_groups_say(people: People, records: Records) -> None:
    ada = await user(people, records, "ada")
    await people.users.set_admin(ada.id, True)
    await user(people, records, "ada")
    assert (await people.users.get(ada.id))[1].is_admin
    await people.users.set_admin(ada.id, False)
    assert not (await people.users.get(ada.id))[1].is_admin
    with pytest.raises(NotFound):
        await people.users.set_admin("nobody", True)


async def test_words_of_a_provider_are_made_fit_to_be_shown(people: People, records: Records) -> None:
    async with records.write() as connection:
        made = await people.users.logged_in(
            connection, Identity("https://id.example", "s", "a\x00b\x1b[31m" + "e" * 400, "n\n" * 300)
        )
    assert (made.identity.email[:6], len(made.identity.email), len(made.identity.name)) == ("ab[31m", 320, 200)


# Groups to roles


def test_the_strongest_of_a_tenants_roles_counts() -> None:
    rules = GroupRoles("a=acme:viewer, b=acme:owner,b=rival:developer,  a=x=acme:developer,root=*:admin,")
    assert rules.grants(["a", "b"]) == Grants(False, {"acme": Role.OWNER, "rival": Role.DEVELOPER})
    assert rules.grants(["a=x"]) == Grants(False, {"acme": Role.DEVELOPER})
    assert rules.grants(["root"]) == Grants(True, {})
    assert rules.grants(["A", "acme", ""]) == Grants(False, {})


@pytest.mark.parametrize(
    "text",
    ["a", "a=acme", "=acme:viewer", "a=acme:admin", "a=*:owner", "a=Acme:viewer", "a=acme:viewer:x", "a=:viewer"],
)
def test_a_rule_that_reads_like_none_stops_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="SLIPWAY_AUTH_GROUP_ROLES"):
        GroupRoles(f"b=acme:viewer,{text}")


@given(st.lists(st.sampled_from(["v", "d", "o", "none"])))
def test_more_groups_never_grant_less(groups: list[str]) -> None:
    rules = GroupRoles("v=acme:viewer,d=acme:developer,o=acme:owner")
    before: frozenset[Scope] = frozenset()
    for count in range(len(groups) + 1):
        role = rules.grants(groups[:count]).roles.get(TenantName("acme"))
        scopes = ROLE_SCOPES[role] if role else frozenset()
        assert before <= scopes
        before = scopes


def test_what_stands_for_a_person_fits_where_a_keys_id_goes_and_differs() -> None:
    ids = Uuid7Ids()
    made = {user_key_id(ids.new()) for _ in range(1000)}
    assert (len(made), max(map(len, made))) == (1000, 24)


# Projects and tenants


async def test_projects_are_made_limited_and_found_in_their_tenant_only(people: People) -> None:
    limits = Limits(requests_per_minute=5)
    made = await people.projects.create("acme", "search", limits, ADMIN)
    assert made.limits == limits
    with pytest.raises(Conflict):
        await people.projects.create("acme", "search", UNLIMITED, ADMIN)
    with pytest.raises(InvalidRequest):
        await people.projects.create("acme", "No!", UNLIMITED, ADMIN)
    for unknown in ("search", "nope", "\x00"):
        with pytest.raises(NotFound):
            await people.projects.get("rival", unknown)
    assert (await people.projects.change("acme", "search", UNLIMITED, ADMIN)).limits == UNLIMITED
    assert [project.name for project in await people.projects.list("acme")] == ["default", "search"]


async def test_a_tenant_is_changed_in_what_is_named_only(records: Records, clock: ManualClock) -> None:
    tenants, limits = Tenants(records, clock), Limits(images_per_minute=3)
    await tenants.create("acme", Billing.PREPAID, limits)
    assert (await tenants.change("acme", billing=Billing.POSTPAID)).limits == limits
    assert (await tenants.change("acme", limits=UNLIMITED)).billing is Billing.POSTPAID
    with pytest.raises(NotFound):
        await tenants.change("nope", limits=UNLIMITED)
    with pytest.raises(InvalidRequest):
        await tenants.change("acme", limits=Limits(tokens_per_minute=-1))
