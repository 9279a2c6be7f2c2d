"""The one table of who may do what, as plain data.

The rules that views ask, what pages show and hide, ``docs/reference/roles.md``, the tests' matrix
and the Roles page are all made from it, so a new act is one entry here and its name on a view.
Imports nothing: it is read without Django, too.
"""

from __future__ import annotations

from dataclasses import dataclass

OWNER, OPERATOR, AUDITOR, VIEWER = "OWNER", "OPERATOR", "AUDITOR", "VIEWER"
EVERYBODY = frozenset({OWNER, OPERATOR, AUDITOR, VIEWER})
WORKERS = frozenset({OWNER, OPERATOR})
OVERSEERS = frozenset({OWNER, AUDITOR})


@dataclass(frozen=True)
class Role:
    """What a member is, and whether that alone asks for a second factor."""

    name: str
    sentence: str
    needs_second_factor: bool = False


@dataclass(frozen=True)
class Condition:
    """What must hold for the very object, beside the role."""

    name: str
    sentence: str
    refusal: str


@dataclass(frozen=True)
class Permission:
    """One act: who may do it, and what they must prove first."""

    name: str
    sentence: str
    roles: frozenset[str]
    conditions: tuple[str, ...] = ()
    needs_second_factor: bool = False
    # The person has to prove who they are once more, just now.
    needs_step_up: bool = False


@dataclass(frozen=True)
class Conflict:
    """Two acts that nobody holds together."""

    first: str
    second: str
    why: str


ROLES = (
    Role(
        OWNER,
        "Runs the tenant: people, quotas, sign-in; approves what operators ask for.",
        needs_second_factor=True,
    ),
    Role(OPERATOR, "Starts and stops runs, answers alerts, asks for faults and quotas."),
    Role(AUDITOR, "Reads everything, draws evidence, changes nothing.", needs_second_factor=True),
    Role(VIEWER, "Looks at the dashboard and the runs."),
)

CONDITIONS = (
    Condition(
        "own_tenant",
        "only in one's own tenant",
        "This belongs to another tenant.",
    ),
    Condition(
        "not_oneself",
        "not for oneself",
        "Nobody changes their own access. Ask another owner of the tenant.",
    ),
    Condition(
        "not_asked_by_oneself",
        "not for one's own request",
        "Who asks does not decide. Somebody else who may approve has to look at it.",
    ),
)

PERMISSIONS = (
    Permission("monitoring.view", "See the dashboard, the nodes and the alerts.", EVERYBODY),
    Permission(
        "monitoring.acknowledge_alert",
        "Acknowledge and resolve alerts.",
        WORKERS,
        needs_second_factor=True,
    ),
    Permission("simulation.view", "See the runs and download their results.", EVERYBODY),
    Permission("simulation.request_run", "Start a run.", WORKERS, needs_second_factor=True),
    Permission("simulation.cancel_run", "Stop a run.", WORKERS, needs_second_factor=True),
    Permission(
        "simulation.inject_fault",
        "Ask for a run with a fault.",
        frozenset({OPERATOR}),
        needs_second_factor=True,
    ),
    Permission(
        "simulation.approve_fault",
        "Approve or decline a run with a fault.",
        frozenset({OWNER}),
        conditions=("not_asked_by_oneself",),
        needs_second_factor=True,
        needs_step_up=True,
    ),
    Permission(
        "simulation.request_quota",
        "Ask for more runs at once.",
        frozenset({OPERATOR}),
        needs_second_factor=True,
    ),
    Permission(
        "simulation.approve_quota",
        "Approve or decline more runs at once.",
        frozenset({OWNER}),
        conditions=("not_asked_by_oneself",),
        needs_second_factor=True,
        needs_step_up=True,
    ),
    Permission(
        "approvals.view",
        "See what waits for approval, and what became of it.",
        frozenset({OWNER, OPERATOR, AUDITOR}),
    ),
    Permission(
        "approvals.decide",
        "Approve or decline, where the permission for the act is held, too.",
        frozenset({OWNER}),
        needs_second_factor=True,
        needs_step_up=True,
    ),
    Permission("approvals.withdraw", "Take one's own request back.", frozenset({OPERATOR})),
    Permission("studies.view", "Read the case studies.", EVERYBODY),
    Permission(
        "roi.view",
        "See ROI scenarios and what they give, and take them away as files.",
        frozenset({OWNER, OPERATOR, AUDITOR}),
    ),
    Permission(
        "roi.edit",
        "Make, change, share and delete ROI scenarios, and record what was realised.",
        WORKERS,
    ),
    Permission("roi.open_link", "Open an ROI scenario that somebody shared.", EVERYBODY),
    Permission(
        "cases.view",
        "Read business cases, and take them away as files.",
        frozenset({OWNER, OPERATOR, AUDITOR}),
    ),
    Permission("cases.edit", "Write, change, make anew and delete business cases.", WORKERS),
    Permission("roadmap.view", "See the adoption roadmap, and take it away as a file.", EVERYBODY),
    Permission("roadmap.edit", "Make the adoption roadmap and change it.", WORKERS),
    Permission("tenants.view_members", "See the members and the roles.", OVERSEERS),
    Permission(
        "tenants.manage_members",
        "Invite and remove people, and change their roles.",
        frozenset({OWNER}),
        conditions=("own_tenant", "not_oneself"),
        needs_second_factor=True,
        needs_step_up=True,
    ),
    Permission(
        "tenants.manage_sign_in",
        "Require a second factor; set up single sign-on.",
        frozenset({OWNER}),
        needs_second_factor=True,
        needs_step_up=True,
    ),
    Permission("audit.view", "Read the audit log and verify its proofs.", OVERSEERS),
    Permission(
        "audit.export",
        "Export entries and proof bundles from the audit log.",
        frozenset({AUDITOR}),
        needs_second_factor=True,
    ),
    Permission("conservation.view_totals", "See the audit across tenants.", OVERSEERS),
    Permission(
        "conservation.open_totals",
        "See what opens the tenant's totals that were drawn.",
        frozenset({AUDITOR}),
        needs_second_factor=True,
    ),
)

CONFLICTS = (
    Conflict(
        "simulation.inject_fault",
        "simulation.approve_fault",
        "A fault breaks a law on purpose: two people have to want it.",
    ),
    Conflict(
        "simulation.request_quota",
        "simulation.approve_quota",
        "Who needs more room does not grant it.",
    ),
    Conflict(
        "tenants.manage_members",
        "audit.export",
        "Who hands out access does not draw the evidence about it.",
    ),
)
