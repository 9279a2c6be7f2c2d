"""Who may do what: asked by name, answered from one table."""

from tenants.permissions.guards import GUARDS, require_permission
from tenants.permissions.predicates import (
    ALL_PERMISSIONS,
    EXTRA_ROLES,
    NotYours,
    PermissionDenied,
    check_permission,
    find_conflicts,
    find_permission,
    has_permission,
    needs_second_factor,
    only_looks,
    permissions_of,
)
from tenants.permissions.table import CONDITIONS, CONFLICTS, PERMISSIONS, ROLES, Permission

__all__ = [
    "ALL_PERMISSIONS",
    "CONDITIONS",
    "CONFLICTS",
    "EXTRA_ROLES",
    "GUARDS",
    "PERMISSIONS",
    "ROLES",
    "NotYours",
    "Permission",
    "PermissionDenied",
    "check_permission",
    "find_conflicts",
    "find_permission",
    "has_permission",
    "needs_second_factor",
    "only_looks",
    "permissions_of",
    "require_permission",
]
