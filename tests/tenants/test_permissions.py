"""The table, and everything that is made from it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tenants.models import Membership
from tenants.permissions import (
    ALL_PERMISSIONS,
    CONDITIONS,
    CONFLICTS,
    PERMISSIONS,
    ROLES,
    NotYours,
    PermissionDenied,
    check_permission,
    find_conflicts,
    has_permission,
    needs_second_factor,
    permissions_of,
)
from tenants.permissions.__main__ import PAGE, render


def member(role: str, user_id: int = 1, tenant_id: int = 1) -> Membership:
    return Membership(role=role, user_id=user_id, tenant_id=tenant_id)


def thing(**fields) -> SimpleNamespace:
    return SimpleNamespace(**fields)


MATRIX = [
    pytest.param(role, permission, id=f"{role}-{permission.name}")
    for role in Membership.Role.values
    for permission in PERMISSIONS
]


@pytest.mark.parametrize(("role", "permission"), MATRIX)
def test_a_rule_says_what_the_table_says(role, permission):
    is_held = role in permission.roles
    assert has_permission(member(role), permission.name) is is_held
    assert not has_permission(None, permission.name)
    if not is_held:
        with pytest.raises(PermissionDenied):
            check_permission(member(role), permission.name)


def test_the_table_names_every_role_and_each_thing_once():
    assert [role.name for role in ROLES] == Membership.Role.values
    assert len(ALL_PERMISSIONS) == len(PERMISSIONS)
    assert {role for each in PERMISSIONS for role in each.roles} <= set(Membership.Role.values)
    assert {name for each in PERMISSIONS for name in each.conditions} <= {
        condition.name for condition in CONDITIONS
    }
    for permission in PERMISSIONS:
        assert permission.roles, f"nobody may {permission.name}"
        assert permission.sentence.endswith(".")
        # Proving oneself once more is more than having proved it.
        assert permission.needs_second_factor or not permission.needs_step_up


def test_no_role_holds_two_duties_that_conflict():
    for conflict in CONFLICTS:
        assert {conflict.first, conflict.second} <= ALL_PERMISSIONS
    for role in Membership.Role.values:
        assert find_conflicts(permissions_of(role)) == []
    both = permissions_of("OWNER") | permissions_of("OPERATOR")
    assert {each.first for each in find_conflicts(both)} == {
        "simulation.inject_fault",
        "simulation.request_quota",
    }


def test_an_owner_and_an_auditor_always_need_a_second_factor():
    assert [role for role in Membership.Role.values if needs_second_factor(member(role))] == [
        "OWNER",
        "AUDITOR",
    ]
    assert needs_second_factor(member("OPERATOR"), "simulation.inject_fault")
    assert needs_second_factor(member("OPERATOR"), "simulation.request_run")
    assert not needs_second_factor(member("OPERATOR"), "simulation.view")


def test_nobody_changes_their_own_access_or_another_tenants():
    mine = member("OWNER", user_id=1, tenant_id=1)
    check_permission(mine, "tenants.manage_members", thing(user_id=2, tenant_id=1))
    for user_id, tenant_id in ((1, 1), (2, 2)):
        with pytest.raises(NotYours):
            check_permission(
                mine, "tenants.manage_members", thing(user_id=user_id, tenant_id=tenant_id)
            )


def test_who_asks_does_not_decide():
    mine = member("OWNER", user_id=1)
    assert has_permission(mine, "simulation.approve_fault", thing(requested_by_id=2))
    assert not has_permission(mine, "simulation.approve_fault", thing(requested_by_id=1))
    with pytest.raises(NotYours, match="Who asks"):
        check_permission(mine, "simulation.approve_fault", thing(requested_by_id=1))


def test_a_name_that_is_not_in_the_table_is_a_bug():
    with pytest.raises(AssertionError):
        has_permission(member("OWNER"), "simulation.fly")


def test_the_reference_page_is_what_the_table_says():
    assert PAGE.read_text() == render(), "run: python -m tenants.permissions"
