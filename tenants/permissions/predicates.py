"""The table as predicates of ``rules``: one rule for each permission, asked with a membership and,
where the permission has conditions, with the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import rules

from tenants.errors import Forbidden
from tenants.permissions.table import (
    CONDITIONS,
    CONFLICTS,
    PERMISSIONS,
    ROLES,
    VIEWER,
    Conflict,
    Permission,
)

if TYPE_CHECKING:
    from tenants.models import Membership

_BY_NAME = {permission.name: permission for permission in PERMISSIONS}
_ROLES = {role.name: role for role in ROLES}
_REFUSALS = {condition.name: condition.refusal for condition in CONDITIONS}
ALL_PERMISSIONS = frozenset(_BY_NAME)
# Who else may give a member a role: each returns the names of roles beside the member's own.
EXTRA_ROLES: list[Callable[[Membership], frozenset[str]]] = []


class PermissionDenied(Forbidden):
    """The role of this person does not include the permission."""

    code = "permission_denied"

    def __init__(self, sentence: str, permission: str) -> None:
        super().__init__(sentence)
        self.permission = permission


class NotYours(PermissionDenied):
    """The role includes the permission, but not for this object."""

    code = "not_for_this_one"


# A predicate that answers None is skipped: without an object only the role is asked.


@rules.predicate
def own_tenant(membership: Membership, obj: Any) -> bool | None:
    """Whether the object belongs to the membership's tenant."""
    return None if obj is None else obj.tenant_id == membership.tenant_id


@rules.predicate
def not_oneself(membership: Membership, obj: Any) -> bool | None:
    """Whether the object is about somebody else."""
    return None if obj is None else obj.user_id != membership.user_id


@rules.predicate
def not_asked_by_oneself(membership: Membership, obj: Any) -> bool | None:
    """Whether somebody else asked for it."""
    return None if obj is None else obj.requested_by_id != membership.user_id


_CONDITIONS = {each.name: each for each in (own_tenant, not_oneself, not_asked_by_oneself)}


def _extra(membership: Membership) -> frozenset[str]:
    return frozenset().union(*(find(membership) for find in EXTRA_ROLES))


def _holds(permission: Permission) -> Any:
    @rules.predicate(f"holds:{permission.name}")
    def holds(membership: Membership | None) -> bool:
        if membership is None:
            return False
        return membership.role in permission.roles or bool(_extra(membership) & permission.roles)

    return holds


for _permission in PERMISSIONS:
    _rule = _holds(_permission)
    for _condition in _permission.conditions:
        _rule &= _CONDITIONS[_condition]
    rules.add_perm(_permission.name, _rule)


def find_permission(name: str) -> Permission:
    """Return a permission of the table; any other name is a bug."""
    assert name in _BY_NAME, name
    return _BY_NAME[name]


def has_permission(membership: Membership | None, name: str, obj: Any = None) -> bool:
    """Tell whether this membership includes the permission, for this object where one is given;
    nobody's membership includes nothing.
    """
    find_permission(name)
    return rules.has_perm(name, membership, obj)


def check_permission(membership: Membership | None, name: str, obj: Any = None) -> None:
    """Raise ``PermissionDenied``, or ``NotYours``, unless the permission is included."""
    if not has_permission(membership, name):
        role = membership.get_role_display().lower() if membership else "visitor"
        raise PermissionDenied(
            f"Your role here is {role}, which may not do this. Ask an owner of the tenant.", name
        )
    for condition in find_permission(name).conditions if obj is not None else ():
        if not _CONDITIONS[condition].test(membership, obj):
            raise NotYours(_REFUSALS[condition], name)


def needs_second_factor(membership: Membership, name: str | None = None) -> bool:
    """Tell whether the role, or the permission where one is named, asks for a second factor."""
    roles = {membership.role, *_extra(membership)}
    return any(_ROLES[role].needs_second_factor for role in roles) or (
        name is not None and find_permission(name).needs_second_factor
    )


def only_looks(membership: Membership) -> bool:
    """Tell whether the member has no role but that of a viewer."""
    return {membership.role, *_extra(membership)} == {VIEWER}


def permissions_of(role: str) -> frozenset[str]:
    """Return the names of what a role includes."""
    return frozenset(each.name for each in PERMISSIONS if role in each.roles)


def find_conflicts(names: Iterable[str]) -> list[Conflict]:
    """Return the pairs of the conflict matrix that are both among these permissions."""
    held = set(names)
    return [each for each in CONFLICTS if each.first in held and each.second in held]
