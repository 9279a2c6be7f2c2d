"""Long simulations whose worker or message was lost: sent again, given up, asked for again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache

from business.scenarios import services
from business.scenarios.models import LongSimulation
from business.scenarios.services import simulations
from tenants.context import current_schema
from tenants.redis import get_redis
from tenants.tasks import queue_of
from tests import objects
from tests.cast import NOON

pytestmark = pytest.mark.django_db
LATER = simulations.SILENT_AFTER + timedelta(seconds=1)


@pytest.fixture
def sent(monkeypatch):
    """The messages that were asked for."""
    messages: list[str] = []
    monkeypatch.setattr(
        simulations, "enqueue_on_commit", lambda name, simulation_id: messages.append(simulation_id)
    )
    return messages


@pytest.fixture
def lost(sent, scenario, operator):
    """A simulation that waits and that nobody computes."""
    asked = services.request_simulation(
        acting_user=operator, version=scenario, trials=300_000, seed=1, requested_at=NOON
    )
    sent.clear()
    return asked


def test_it_is_sent_again_given_up_the_third_time_and_may_be_asked_for_again(
    lost, sent, scenario, operator
):
    at = NOON
    for attempts in (2, 3):
        at += LATER
        services.reap_simulations(reaped_at=at)
        lost.refresh_from_db()
        assert (lost.state, lost.attempts, len(sent)) == ("WAITING", attempts, attempts - 1)
    services.reap_simulations(reaped_at=at + LATER)
    lost.refresh_from_db()
    assert lost.state == LongSimulation.State.FAILED and "lost 3 times" in lost.failure
    assert len(sent) == 2
    again = services.request_simulation(
        acting_user=operator, version=scenario, trials=300_000, seed=1, requested_at=at + 2 * LATER
    )
    assert (again.pk, again.state, again.attempts, len(sent)) == (lost.pk, "WAITING", 1, 3)


@pytest.mark.parametrize("sign", ["young", "computed", "behind others"])
def test_what_is_not_lost_is_left_alone(lost, sent, sign):
    at = NOON + (timedelta(seconds=1) if sign == "young" else LATER)
    if sign == "computed":
        cache.set(simulations._key(lost.pk), 0.5, 60)
    if sign == "behind others":
        get_redis().lpush(queue_of(current_schema()), "another message")
    before = objects.fingerprint("acme")
    services.reap_simulations(reaped_at=at)
    assert objects.fingerprint("acme") == before and sent == []
