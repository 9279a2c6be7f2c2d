"""Objects for the isolation tests: for each route and task that takes an id, how to make what it
names.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import connection, transaction
from django.utils import timezone

from audit.models import Entry
from business.cases import services as cases
from business.roadmap import services as roadmap
from business.roadmap.models import Phase
from business.roi import INDUSTRIES
from business.scenarios import services as scenarios
from business.scenarios.models import ScenarioVersion
from monitoring.services import open_alert
from monitoring.totals import services as totals
from monitoring.totals.keyfile import load_key
from simulation.services import ask_for_quota, execute_run, request_run, upload_bodies
from tenants import selectors
from tenants.context import current_schema, tenant_context
from tenants.journal import Subject, note
from tenants.models import Invitation, Membership, User
from tenants.second_roles.models import SecondRole
from tenants.single_sign_on.models import IdentityProvider, Link
from tests.cast import NOON

Values = dict[str, Any]


def make_run(person: User) -> Values:
    """A run that waits."""
    run = request_run(acting_user=person, scenario="kepler", steps=1000, requested_at=NOON)
    return {"run_id": run.pk}


def make_finished_run(person: User) -> Values:
    """A run that was executed, with its files."""
    values = make_run(person)
    execute_run(run_id=values["run_id"], clock=timezone.now, node="worker@tests")
    return values


def make_bodies(person: User) -> Values:
    """A file of bodies that no run was made of."""
    file = upload_bodies(
        acting_user=person,
        name="bodies.csv",
        content=b"body,mass,x,y,z,vx,vy,vz\nsun,1,0,0,0,0,0,0\nearth,0,1,0,0,0,1,0\n",
        units="N-body",
        uploaded_at=NOON,
    )
    return {"file_id": file.pk}


def make_alert(person: User) -> Values:
    """An alert that fires."""
    alert = open_alert(
        severity="critical",
        title="Energy left its bound",
        detail="",
        quantity="energy",
        value=2.0,
        limit=1.0,
        unit="J",
        dedupe_key="of-the-test",
        opened_at=NOON,
    )
    return {"alert_id": alert.pk}


def make_request(person: User) -> Values:
    """A request that waits, of somebody who may ask."""
    tenant = selectors.get_tenant(current_schema())
    operators = Membership.objects.select_related("user").filter(tenant=tenant, role="OPERATOR")
    asker = operators.order_by("pk")[0]
    asked = ask_for_quota(
        membership=asker, active_max=8, reason="A larger study.", requested_at=timezone.now()
    )
    return {"request_id": asked.pk}


def make_entry(person: User) -> Values:
    """An entry of the log."""
    with transaction.atomic():
        entry = note(who=person, action="test.done", subject=Subject("test", "1"), at=NOON)
    return {"number": Entry.objects.get(id=entry.id).number}


def open_round(person: User) -> Values:
    """A round of the audit across tenants that waits for answers."""
    round_ = totals.open_round(private=load_key(), opened_at=timezone.now())
    return {"number": round_.number}


def publish_round(person: User) -> Values:
    """A round that this tenant answered, and that was published."""
    values = open_round(person)
    totals.post_totals(**values, posted_at=NOON)
    totals.publish_round(**values, private=load_key(), published_at=NOON)
    return values


def make_member(person: User) -> Values:
    """Somebody who belongs to this tenant and, in the cast, to no other."""
    tenant = selectors.get_tenant(current_schema())
    others = Membership.objects.filter(
        tenant=tenant, user__email__endswith=f"@{tenant.slug}.example"
    )
    return {"user_id": others.exclude(user=person).order_by("pk").values_list("user", flat=True)[0]}


def make_invitation(person: User) -> Values:
    """An invitation that is open."""
    tenant = selectors.get_tenant(current_schema())
    now = timezone.now()
    open_one = Invitation.objects.create(
        tenant=tenant,
        email="newcomer@example.com",
        role="VIEWER",
        code_sha256=uuid4().hex,
        invited_at=now,
        invited_by_email=person.email,
        expires_at=now + timedelta(days=1),
    )
    return {"invitation_id": open_one.pk}


def save_scenario(person: User) -> ScenarioVersion:
    """A first version."""
    return scenarios.save_scenario(
        acting_user=person,
        document=INDUSTRIES["healthcare"].document,
        reason="To be looked at.",
        saved_at=NOON,
    )


def make_scenario(person: User) -> Values:
    """A scenario with one version."""
    return {"scenario_id": save_scenario(person).scenario_id}


def make_link(person: User) -> Values:
    """A link to a version, open."""
    link = scenarios.share_version(
        acting_user=person, version=save_scenario(person), days=7, shared_at=timezone.now()
    )
    return {"link_id": link.pk}


def make_simulation(person: User) -> Values:
    """A long simulation that waits."""
    asked = scenarios.request_simulation(
        acting_user=person,
        version=save_scenario(person),
        trials=200_001,
        seed=1,
        requested_at=NOON,
    )
    return {"simulation_id": asked.pk}


def make_provider(person: User) -> Values:
    """An identity provider that is set up."""
    made = IdentityProvider.objects.create(
        kind="OIDC",
        name=f"Provider {uuid4().hex[:8]}",
        issuer="https://idp.example",
        client_id="aii",
        created_at=NOON,
    )
    return {"provider_id": made.pk}


def make_provider_link(person: User) -> Values:
    """A member's link with one."""
    values = {**make_provider(person), "user_id": person.pk}
    Link.objects.create(subject_sha256=uuid4().hex, linked_at=NOON, **values)
    return values


def make_second_role(person: User) -> Values:
    """A second role that a member has; given by somebody else of the tenant."""
    tenant = selectors.get_tenant(current_schema())
    members = Membership.objects.select_related("user").filter(tenant=tenant).order_by("pk")
    giver, taker = members[:2]
    given = SecondRole.objects.create(
        user=taker.user,
        user_email=taker.user.email,
        role="VIEWER",
        reason="A holiday.",
        granted_at=timezone.now(),
        granted_by=giver.user,
        granted_by_email=giver.user.email,
        expires_at=timezone.now() + timedelta(days=1),
    )
    return {"second_role_id": given.pk}


def make_plan(person: User) -> Values:
    """The default plan, once."""
    phases = list(Phase.objects.all()) or roadmap.create_plan(
        acting_user=person, starts_on=NOON.date(), created_at=NOON
    )
    return {"phase_id": phases[0].pk}


def make_task(person: User) -> Values:
    """A task of the plan."""
    return {"task_id": Phase.objects.get(pk=make_plan(person)["phase_id"]).tasks.all()[0].pk}


def make_case(person: User) -> Values:
    """A business case with one version."""
    made = cases.start_case(
        acting_user=person,
        tenant=selectors.get_tenant(current_schema()),
        version=save_scenario(person),
        case=cases.CaseInput("Better diagnoses", "healthcare", author="A. Analyst"),
        started_at=timezone.now(),
    )
    return {"case_id": made.case_id}


RUN_PAGES = ("", "progress/", "cancel/", "again/", "series.json", "summary.json")
RUN_FILES = ("state.npz", "state.csv", "frame.bin")
BODIES_PAGES = ("", "bodies.csv", "delete/")
REQUEST_PAGES = ("", "approve/", "decline/", "withdraw/")
MEMBER_PAGES = ("", "role/", "remove/")
SESSION_PAGES = ("", "end/")
SCENARIO_PAGES = (
    *("", "edit/", "history/", "duplicate/", "delete/", "share/", "simulate/"),
    *("realised/", "realised/record/"),
)
SCENARIO_FILES = ("scenario.json", "scenario.csv", "scenario.xlsx")
CASE_PAGES = ("", "edit/", "risks/", "make/", "delete/")
CASE_FILES = ("case.pdf", "case.docx")
PROVIDER_PAGES = ("", "set-up/", "test/", "enable/", "disable/", "delete/")
ALERT_PAGES = ("", "acknowledge/", "resolve/")

# Route template -> function that makes the object in the current tenant and returns the route's
# parameters.
FOR_ROUTE: dict[str, Callable[[User], Values]] = {
    **{f"runs/<uuid:run_id>/{page}": make_run for page in RUN_PAGES},
    **{f"runs/<uuid:run_id>/{file}": make_finished_run for file in RUN_FILES},
    **{f"runs/bodies/<uuid:file_id>/{page}": make_bodies for page in BODIES_PAGES},
    **{f"approvals/<uuid:request_id>/{page}": make_request for page in REQUEST_PAGES},
    **{f"members/<uuid:user_id>/{page}": make_member for page in MEMBER_PAGES},
    "invitations/<uuid:invitation_id>/withdraw/": make_invitation,
    "members/second-roles/<uuid:second_role_id>/end/": make_second_role,
    **{f"roadmap/phases/<uuid:phase_id>/{page}": make_plan for page in ("", "new-task/")},
    **{f"roadmap/tasks/<uuid:task_id>/{page}": make_task for page in ("", "delete/")},
    **{f"alerts/<uuid:alert_id>/{page}": make_alert for page in ALERT_PAGES},
    **{f"members/<uuid:user_id>/sessions/{page}": make_member for page in SESSION_PAGES},
    **{f"sign-on/<uuid:provider_id>/{page}": make_provider for page in PROVIDER_PAGES},
    "sign-on/<uuid:provider_id>/links/<uuid:user_id>/forget/": make_provider_link,
    **{f"audit/<int:number>/{page}": make_entry for page in ("", "proof.json")},
    **{f"roi/<uuid:scenario_id>/{page}": make_scenario for page in SCENARIO_PAGES},
    **{f"roi/<uuid:scenario_id>/{file}": make_scenario for file in SCENARIO_FILES},
    **{f"cases/<uuid:case_id>/{page}": make_case for page in (*CASE_PAGES, *CASE_FILES)},
    "roi/shared/<uuid:link_id>/": make_link,
    "roi/links/<uuid:link_id>/revoke/": make_link,
    "roi/simulations/<uuid:simulation_id>/": make_simulation,
    "api/v1/roi/scenarios/<uuid:scenario_id>": make_scenario,
}
# Task name -> the same, for the task's keyword arguments.
FOR_TASK: dict[str, Callable[[User], Values]] = {
    "simulation.execute_run": lambda person: {"run_id": str(make_run(person)["run_id"])},
    "scenarios.simulate": lambda person: {
        "simulation_id": str(make_simulation(person)["simulation_id"])
    },
    "totals.post": open_round,
    "totals.check_openings": publish_round,
}


def fingerprint(schema: str) -> dict[str, str]:
    """Return a hash of every table of a tenant: equal before and after means that nothing was
    written.
    """
    with tenant_context(schema), connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename NOT IN"
            " ('django_migrations', 'person_session') AND tablename !~ '^audit_entry_'",
            [schema],
        )
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT '{table}',"
                " md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), ''))"
                f' FROM "{schema}"."{table}" t'
                for (table,) in cursor.fetchall()
            )
        )
        return dict(cursor.fetchall())
