"""What was saved, entry by entry, beside the forecast: on record, never overwritten, and where it
shows: the scenario's page, the roadmap, the business case.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from audit.models import Entry
from business.cases import selectors as case_selectors
from business.cases import services as cases
from business.cases.document import bounds_in
from business.roadmap import selectors as roadmap
from business.roadmap import services as plans
from business.scenarios import selectors, services
from business.scenarios.models import RealisedSaving
from business.scenarios.services import SavingInput
from tenants.context import tenant_context
from tests import objects
from tests.business.cases import certain, full
from tests.business.test_scenarios import save
from tests.cast import NOON

pytestmark = pytest.mark.django_db

# 300 a year: 25 a month.
QUARTER = {"first_month": "1", "last_month": "3", "amount": "60", "source": "Ledger 4711"}


@pytest.fixture
def version(in_acme, operator):
    return save(operator)


def record(person, version, first, last, amount, **rest):
    return services.record_saving(
        acting_user=person,
        version=version,
        saving=SavingInput(Decimal(amount), first, last, "Ledger"),
        recorded_at=NOON,
        **rest,
    )


def test_an_entry_stands_beside_the_forecast_of_its_months_and_is_corrected_by_another(
    version, client_for, operator, acme
):
    client = client_for(operator, acme)
    address = f"/roi/{version.scenario_id}/realised/"
    assert "No entry yet" in client.get(address).content.decode()
    page = client.post(f"{address}record/", QUARTER, follow=True).content.decode()
    assert "60.00 USD saved of 75.00 USD forecast for the same months (80\u202f%)" in page
    assert "Ledger 4711" in page and operator.email in page

    first = RealisedSaving.objects.get()
    form = client.get(f"{address}?correct={first.pk}").content.decode()
    assert "Correct months 1 to 3" in form and "Ledger 4711" in form
    corrected = {**QUARTER, "amount": "1 500.5", "corrects": str(first.pk)}
    page = client.post(f"{address}record/", corrected, follow=True).content.decode()
    assert "1\u202f500 USD saved of 75.00 USD" in page and "<s>60.00 USD</s>" in page
    assert selectors.find_realised()[0].amount == Decimal("1500.5")
    first.refresh_from_db()
    assert (first.amount, RealisedSaving.objects.count()) == (60, 2)
    entries = Entry.objects.filter(action="scenario.saving_recorded").order_by("number")
    assert entries.count() == 2
    assert "1\u202f500 USD saved" in client.get(version.get_absolute_url()).content.decode()


def test_the_forecast_of_months_is_benefits_less_running_costs_of_their_years(in_acme, operator):
    version = save(operator, full())
    years = version.results["years"]

    def saved(year):
        gains = sum(amount for key, amount in years[year].items() if key.startswith("benefit_"))
        return gains - years[year]["running_cost"]

    entry = record(operator, version, 11, 14, 1)
    expected = (2 * saved(1) + 2 * saved(2)) / 12
    assert float(selectors.forecast_of(entry)) == pytest.approx(expected, abs=1e-6)
    whole = record(operator, save(operator, full(name="whole")), 1, 60, 1)
    forecast = float(selectors.forecast_of(whole)) / version.results["horizon_years"]
    assert forecast == pytest.approx(version.results["annual_savings"], abs=0.01)
    unknown = certain(benefits=[{"kind": "compliance", "name": "x", "annual_savings": None}])
    assert selectors.forecast_of(record(operator, save(operator, unknown), 1, 1, 1)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "ten"),
        ("amount", ""),
        ("amount", "nan"),
        ("amount", "1e16"),
        ("amount", "1,5"),
        ("first_month", "0"),
        ("first_month", "1.5"),
        ("last_month", "61"),
        ("last_month", "-1"),
        ("first_month", "4"),
        ("source", " "),
        ("source", "x" * 301),
    ],
)
def test_bad_input_is_refused_beside_its_field(version, client_for, owner, acme, field, value):
    before = objects.fingerprint("acme")
    address = f"/roi/{version.scenario_id}/realised/record/"
    answer = client_for(owner, acme).post(address, {**QUARTER, field: value})
    assert answer.status_code == 422
    beside = "last_month" if field == "first_month" and value == "4" else field
    assert f'id="id_{beside}_error"' in answer.content.decode()
    assert objects.fingerprint("acme") == before


def test_what_cannot_stand_is_refused_and_leaves_no_trace(version, operator, auditor, client_for):
    first = record(operator, version, 1, 3, 60)
    second = record(operator, version, 4, 4, 20)
    record(operator, version, 4, 4, 21, corrects_id=second.pk)
    other = record(operator, save(operator, certain(name="other")), 1, 1, 1)
    before = objects.fingerprint("acme")
    for months, corrects, error in (
        ((3, 5), None, services.MonthsTaken),
        ((1, 4), first.pk, services.MonthsTaken),
        ((60, 61), None, services.MonthsOutside),
        ((6, 5), None, services.MonthsOutside),
        ((4, 4), second.pk, services.AlreadyCorrected),
        ((5, 5), other.pk, services.SavingUnknown),
    ):
        with pytest.raises(error):
            record(operator, version, *months, 1, corrects_id=corrects)
    assert objects.fingerprint("acme") == before
    address = f"/roi/{version.scenario_id}/realised/"
    client = client_for(auditor, "acme")
    page = client.get(address)
    assert page.status_code == 200 and 'name="amount"' not in page.content.decode()
    assert client.post(f"{address}record/", QUARTER).status_code == 403
    assert RealisedSaving.objects.count() == 4


def test_nothing_of_it_is_seen_in_or_changed_from_another_tenant(
    version, operator, outsider, client_for, globex
):
    entry = record(operator, version, 1, 3, 60)
    address = f"/roi/{version.scenario_id}/realised/"
    client = client_for(outsider, globex)
    before = objects.fingerprint("acme")
    assert client.get(address).status_code == 404
    assert client.post(f"{address}record/", QUARTER).status_code == 404
    with tenant_context("globex"):
        assert selectors.find_realised() == []
        own = save(outsider)
        with pytest.raises(services.SavingUnknown):
            record(outsider, own, 1, 1, 1, corrects_id=entry.pk)
        assert not RealisedSaving.objects.exists()
    assert objects.fingerprint("acme") == before


def judged(tenant):
    found = [
        each
        for standing in roadmap.list_standings(tenant, NOON.replace(year=2027))
        for each in standing.judged
        if each.criterion.measure == "ROI_REALISED"
    ]
    return found[0].status, found[0].found


def test_the_roadmap_holds_it_to_its_target_and_says_what_does_not_add_up(version, acme, operator):
    plans.create_plan(acting_user=operator, starts_on=NOON.date(), created_at=NOON)
    status, found = judged(acme)
    assert (status, found.value) == ("NOT_MEASURED", None) and "Nobody" in found.sentence
    first = record(operator, version, 1, 3, 60)
    status, found = judged(acme)
    assert (status, found.value) == ("MET", pytest.approx(80))
    assert "As members recorded: 60.00 USD saved of 75.00 USD" in found.sentence
    record(operator, version, 1, 3, 59, corrects_id=first.pk)
    assert judged(acme)[0] == "NOT_MET"
    record(operator, save(operator, full()), 1, 1, 1)
    status, found = judged(acme)
    assert status == "NOT_MEASURED" and "several currencies" in found.sentence


def test_the_business_case_says_it_with_its_source_and_marks_that_it_changed(
    version, acme, operator
):
    made = cases.start_case(
        acting_user=operator,
        tenant=acme,
        version=version,
        case=cases.CaseInput("Saved", ""),
        started_at=timezone.now(),
    )
    record(operator, save(operator, certain(name="another")), 1, 3, 1000)
    assert case_selectors.find_drift(made, acme, timezone.now()).is_alike
    record(operator, version, 1, 3, 60)
    made = cases.make_version(
        acting_user=operator, tenant=acme, case_id=made.case_id, made_at=timezone.now()
    )
    document = case_selectors.open_document(made)
    found = next(o for s in document.sections for o in bounds_in(s) if o.key == "realised")
    assert found.text == "60.00 USD saved of 75.00 USD forecast for the same months (80\u202f%)"
    assert found.was.startswith("not measured")
    source = next(one for one in document.sources if one.key == found.source)
    assert "members recorded" in source.what
