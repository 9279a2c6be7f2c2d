"""``python -m tenants.permissions``: write docs/reference/roles.md from the table."""

from __future__ import annotations

from pathlib import Path

from tenants.permissions.table import CONDITIONS, CONFLICTS, PERMISSIONS, ROLES, Permission

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "roles.md"
_CONDITIONS = {condition.name: condition.sentence for condition in CONDITIONS}


def render() -> str:
    """Return the page as Markdown."""
    roles = [role.name for role in ROLES]
    lines = [
        "# Roles",
        "",
        "<!-- Written by `python -m tenants.permissions` from tenants/permissions/table.py. -->",
        "",
        "A person has one role in each tenant, and for a while a second one beside it.",
        "",
        "| role | what for | second factor |",
        "|---|---|---|",
        *(
            f"| {role.name.lower()} | {role.sentence} |"
            f" {'always' if role.needs_second_factor else 'where the act asks for it'} |"
            for role in ROLES
        ),
        "",
        "## Permissions",
        "",
        "*2* after a tick: asks for a second factor, whatever the role. *again*: the person proves"
        " who they are once more, just before.",
        "",
        f"| permission | what it allows | {' | '.join(role.lower() for role in roles)} |",
        f"|---|---|{'---|' * len(roles)}",
        *(_row(permission, roles) for permission in PERMISSIONS),
        "",
        "## Duties that nobody holds together",
        "",
        "| one | the other | why |",
        "|---|---|---|",
        *(f"| `{each.first}` | `{each.second}` | {each.why} |" for each in CONFLICTS),
        "",
        "Two roles join such duties only by an exception: given by another person, with a reason,"
        " for at most 30 days.",
        "",
        "A session is good on one host; a removed or disabled member is out with the next request,"
        " and out of an open",
        "live page within a minute.",
    ]
    return "\n".join(lines) + "\n"


def _row(permission: Permission, roles: list[str]) -> str:
    allows = permission.sentence.rstrip(".")
    if permission.conditions:
        allows += f" ({'; '.join(_CONDITIONS[name] for name in permission.conditions)})"
    proof = [
        word
        for word, is_asked in (
            ("2", permission.needs_second_factor),
            ("again", permission.needs_step_up),
        )
        if is_asked
    ]
    tick = "✓" + (f" *{', '.join(proof)}*" if proof else "")
    cells = [tick if role in permission.roles else "" for role in roles]
    return f"| `{permission.name}` | {allows} | {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(render())
