"""A run with a fault: asked for by an operator, released by an owner, and only then a run."""

from __future__ import annotations

import pytest
from django.utils import timezone

from simulation import services
from simulation.engine import Fault
from simulation.models import Run
from simulation.selectors import find_approver
from tenants import selectors
from tenants.approvals import services as approvals
from tenants.approvals.models import ApprovalRequest
from tenants.errors import Invalid
from tenants.permissions import PermissionDenied
from tests.cast import NOON

FAULT = Fault("momentum", 50)


@pytest.fixture(autouse=True)
def _in_the_web_server(settings):
    """As people ask: nothing is compiled there to estimate what a run would cost."""
    settings.AII_PROCESS = "web"


@pytest.fixture
def member(in_acme):
    return lambda person: selectors.find_membership(person, in_acme)


def ask(membership, **inputs):
    return services.ask_for_fault(
        membership=membership,
        fault=inputs.pop("fault", FAULT),
        reason="The yearly drill.",
        requested_at=NOON,
        **{"scenario": "kepler", "steps": 200, **inputs},
    )


def approve(membership, asked):
    return approvals.approve(
        membership=membership,
        request_id=asked.pk,
        seen_sha256=asked.parameters_sha256,
        approved_at=NOON,
    )


def test_starts_nothing_until_it_is_approved(member, operator, owner):
    asked = ask(member(operator))
    assert Run.objects.count() == 0

    done = approve(member(owner), asked)

    run = Run.objects.get()
    assert run.engine_fault == FAULT
    assert (run.requested_by_email, find_approver(run)) == (operator.email, owner.email)
    assert (run.approval_id, done.outcome_url) == (asked.pk, run.get_absolute_url())


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"scenario": "plummer", "bodies": 64, "seed": 2**60 + 1, "dt_tu": 1 / 128},
        {"scenario": "plummer", "bodies": 64, "force": "fmm", "accuracy": 1e-4},
        {"scenario": "plummer", "bodies": 64, "softening_tu": 0.1 + 0.2},
        {"fault": Fault("reading", 7, quantity="energy", relative_size=1e-12)},
    ],
    ids=str,
)
def test_what_is_released_is_what_was_asked_for_to_the_last_bit(inputs, member, operator, owner):
    asked = ask(member(operator), **inputs)
    approve(member(owner), asked)
    run = Run.objects.get()
    fault = inputs.pop("fault", FAULT)
    assert run.engine_fault == fault
    for name, value in inputs.items():
        assert getattr(run, name) == value


def test_no_service_starts_one_by_itself(in_acme, operator):
    with pytest.raises(services.FaultNotReleased):
        services.request_run(
            acting_user=operator, scenario="kepler", steps=200, fault=FAULT, requested_at=NOON
        )
    assert Run.objects.count() == 0


@pytest.mark.parametrize("role", ["owner", "auditor", "viewer"])
def test_only_operators_ask(role, member, request):
    with pytest.raises(PermissionDenied):
        ask(member(request.getfixturevalue(role)))
    assert not ApprovalRequest.objects.exists()


def test_a_fault_that_cannot_be_is_not_asked_for(member, operator):
    with pytest.raises(Invalid):
        ask(member(operator), fault=Fault("momentum", 201))
    assert not ApprovalRequest.objects.exists()


def test_a_full_quota_leaves_the_request_waiting(member, operator, owner):
    asked = ask(member(operator))
    for _ in range(services.RUNS_ACTIVE_MAX):
        services.request_run(acting_user=operator, scenario="kepler", requested_at=NOON)
    with pytest.raises(services.TooManyActiveRuns):
        approve(member(owner), asked)
    asked.refresh_from_db()
    assert (asked.state, Run.objects.count()) == ("WAITING", services.RUNS_ACTIVE_MAX)


def test_a_granted_quota_lets_more_runs_wait(member, operator, owner):
    for _ in range(services.RUNS_ACTIVE_MAX):
        services.request_run(acting_user=operator, scenario="kepler", requested_at=NOON)
    more = services.ask_for_quota(
        membership=member(operator), active_max=5, reason="One more.", requested_at=NOON
    )
    approve(member(owner), more)
    services.request_run(acting_user=operator, scenario="kepler", requested_at=NOON)
    with pytest.raises(services.TooManyActiveRuns):
        services.request_run(acting_user=operator, scenario="kepler", requested_at=NOON)


def test_the_same_run_again_is_another_request(executed, client_for, operator, viewer, acme):
    run = executed("kepler", fault=FAULT)
    client = client_for(operator, acme)
    assert "Ask for the same run again" in client.get(run.get_absolute_url()).content.decode()
    answer = client.post(f"{run.get_absolute_url()}again/")
    asked = ApprovalRequest.objects.get()
    assert answer["Location"] == asked.get_absolute_url()
    assert asked.parameters["fault"] == run.fault
    assert Run.objects.count() == 1


def test_the_runs_page_says_who_released_it(member, operator, owner, client_for, acme):
    asked = ask(member(operator))
    done = approve(member(owner), asked)
    text = client_for(operator, acme).get(done.outcome_url).content.decode()
    assert asked.get_absolute_url() in text and owner.email in text


def test_a_run_of_another_tenant_is_not_asked_for_again(member, operator):
    import uuid

    with pytest.raises(services.RunUnknown):
        services.ask_again(
            membership=member(operator), run_id=uuid.uuid4(), requested_at=timezone.now()
        )
