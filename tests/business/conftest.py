"""A saved scenario, and a business case made from it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from business.cases import services
from business.cases.services import CaseInput
from business.roi import INDUSTRIES
from business.scenarios import results
from business.scenarios.services import save_scenario
from tests.cast import NOON


@pytest.fixture
def scenario(in_acme, operator, monkeypatch):
    """Of few trials: how many there are is tested with the calculator."""
    monkeypatch.setattr(results, "TRIALS", 2000)
    return save_scenario(
        acting_user=operator,
        document=INDUSTRIES["healthcare"].document,
        reason="First",
        saved_at=NOON,
    )


@pytest.fixture
def made(scenario, acme, operator):
    """A case of the first version, from a platform that has measured nothing."""
    return services.start_case(
        acting_user=operator,
        tenant=acme,
        version=scenario,
        case=CaseInput("Better diagnoses", "healthcare", "A. Analyst", "The board"),
        started_at=NOON + timedelta(hours=1),
    )
