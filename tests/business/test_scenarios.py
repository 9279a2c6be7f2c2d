"""Saved scenarios: services on the real database, and the pages as a member meets them."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from business import roi
from business.scenarios import results, selectors, services
from business.scenarios.form import ScenarioForm, canonical, flatten
from business.scenarios.models import LongSimulation, Scenario, ScenarioVersion
from tests import objects
from tests.business.cases import certain, full
from tests.cast import NOON

pytestmark = pytest.mark.django_db

SAVED = {"kind": "compliance", "name": "saved"}

DOCUMENTS = {
    **{key: one.document for key, one in roi.INDUSTRIES.items() if key != "blank"},
    "full": full(),
    "certain": certain(),
    "foreign": full(report_currency={"code": "USD", "rates": [1.1, "1.2", 1.1, 1, 1, 1]}),
    "real": full(rate_kind="real", timing="mid", finance_rate=0.05, reinvest_rate="0.07"),
}


def save(person, document=None, **rest):
    return services.save_scenario(
        acting_user=person,
        document=document or certain(),
        **{"reason": "To be looked at.", "saved_at": NOON, **rest},
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_form_keeps_every_number_of_a_document(name):
    before = roi.read_scenario(DOCUMENTS[name])
    kept = canonical(DOCUMENTS[name])
    after = roi.read_scenario(kept)
    assert after.inputs() == before.inputs()
    assert after.correlations == before.correlations
    assert roi.value_scenario(after).measures == roi.value_scenario(before).measures
    assert canonical(kept) == kept
    # The database keeps text; a file with numbers has the same digest.
    assert json.loads(json.dumps(kept)) == kept


def test_an_entry_that_is_removed_takes_its_correlations_along():
    form = ScenarioForm(flatten(full()))
    form.act("add:benefits:compliance")
    form.values["benefits.3.name"] = "late"
    form.act("remove:benefits:0")
    assert form.count("benefits") == 3
    assert form.values["benefits.2.name"] == "late"
    assert form.values["correlations.0.first"] == ""
    # Whatever else is asked for does nothing.
    before = dict(form.values)
    for act in ("remove:benefits:9", "remove:benefits:-1", "add:people:x", "drop", "remove:name:0"):
        form.act(act)
    assert form.values == before


class TestSaving:
    def test_each_save_is_a_version_and_the_old_ones_stay(self, in_acme, operator):
        first = save(operator)
        document = {**first.document, "name": "plainer", "horizon_years": "7"}
        second = save(operator, document, scenario_id=first.scenario_id, seen_number=1)
        assert (first.number, second.number) == (1, 2)
        kept = selectors.get_version(first.scenario_id, 1)
        assert kept.document == canonical(certain())
        assert kept.inputs_sha256 == roi.read_scenario(kept.document).inputs_sha256
        assert (
            kept.results["npv"] == roi.value_scenario(roi.read_scenario(certain())).to_json()["npv"]
        )
        assert (kept.reason, kept.saved_by_email) == ("To be looked at.", operator.email)
        latest = selectors.get_version(first.scenario_id)
        assert (latest.number, latest.scenario.name) == (2, "plainer")
        changes = selectors.list_changes(kept.document, latest.document)
        assert [(c.title, c.before, c.after) for c in changes] == [
            ("name", "plain", "plainer"),
            ("horizon years", "5", "7"),
        ]

    @pytest.mark.parametrize(
        ("changes", "refusal"),
        [
            ({"reason": "  "}, services.ReasonMissing),
            ({"document": certain(horizon_years=-1)}, services.BadScenario),
            ({"seen_number": 4, "document": certain(name="x")}, services.SavedMeanwhile),
            ({}, services.NothingChanged),
            ({"scenario_id": uuid4()}, services.ScenarioUnknown),
        ],
        ids=["reason", "document", "meanwhile", "unchanged", "unknown"],
    )
    def test_a_refusal_writes_nothing(self, in_acme, operator, changes, refusal):
        first = save(operator)
        before = objects.fingerprint("acme")
        with pytest.raises(refusal):
            save(operator, **{"scenario_id": first.scenario_id, **changes})
        assert objects.fingerprint("acme") == before

    def test_a_scenario_is_deleted_when_its_name_is_typed(self, in_acme, operator):
        version = save(operator)
        copy = services.duplicate_version(acting_user=operator, version=version, duplicated_at=NOON)
        assert copy.scenario.name == "plain (copy)"
        arguments = {"acting_user": operator, "scenario_id": version.scenario_id}
        with pytest.raises(services.NotConfirmed):
            services.delete_scenario(**arguments, confirmation="plan", deleted_at=NOON)
        services.delete_scenario(**arguments, confirmation="plain", deleted_at=NOON)
        assert list(Scenario.objects.values_list("pk", flat=True)) == [copy.scenario_id]


def test_a_long_simulation_is_the_short_one_with_more_trials(in_acme, operator):
    version = save(operator, full())
    asked = services.request_simulation(
        acting_user=operator, version=version, trials=300_000, seed=1, requested_at=NOON
    )
    for _ in range(2):
        services.execute_simulation(simulation_id=asked.pk, clock=lambda: NOON)
    done = selectors.get_simulation(asked.pk)
    assert done.state == LongSimulation.State.DONE
    scenario = roi.read_scenario(version.document)
    assert done.result == json.loads(json.dumps(results.simulate(scenario, trials=300_000, seed=1)))
    assert services.find_progress(asked.pk) is not None
    # The fan is of the same first trials.
    assert done.result["fan"] == version.results["simulation"]["fan"]
    for trials in (200_000, 10_000_001):
        with pytest.raises(services.BadTrials):
            services.request_simulation(
                acting_user=operator, version=version, trials=trials, seed=1, requested_at=NOON
            )


def test_a_link_shows_one_version_to_every_member_until_it_ends(
    in_acme, operator, viewer, client_for
):
    version = save(operator)
    now = timezone.now()
    link = services.share_version(acting_user=operator, version=version, days=7, shared_at=now)
    other = services.share_version(
        acting_user=operator, version=version, days=1, shared_at=now - timedelta(days=2)
    )
    client = client_for(viewer, "acme")
    assert client.get(f"/roi/{version.scenario_id}/").status_code == 403
    page = client.get(f"/roi/shared/{link.pk}/")
    assert page.status_code == 200
    assert b"137.24" in page.content
    assert client.get(f"/roi/shared/{other.pk}/").status_code == 404
    services.revoke_link(acting_user=operator, link_id=link.pk, revoked_at=now)
    assert client.get(f"/roi/shared/{link.pk}/").status_code == 404
    with pytest.raises(services.BadPeriod):
        services.share_version(acting_user=operator, version=version, days=365, shared_at=now)


# --- pages ---------------------------------------------------------------------------------------


def sent(**changes):
    return {**flatten(canonical(certain())), "reason": "First", "act": "save", **changes}


WRONG = [
    ("horizon_years", "-3", "between 1 and 50"),
    ("horizon_years", "1000000", "between 1 and 50"),
    ("horizon_years", "", "between 1 and 50"),
    ("discount_rate.a", "-100", "between -99.99 and 10000"),
    ("discount_rate.a", "ten", "must be a number"),
    ("discount_rate.a", "", "Enter a number"),
    ("tax_rate.a", "101", "between 0 and 100"),
    ("currency", "euro", "such as EUR"),
    ("name", "", "a name"),
    ("benefits.0.annual_savings.a", "-5", "between 0 and"),
    ("benefits.0.annual_savings.a", "=1+1", "must be a number"),
    ("benefits.0.annual_savings.a", "1e400", "between 0 and"),
    ("benefits.0.annual_savings.shape", "cauchy", "A distribution is one of"),
    ("benefits.0.annual_savings.basis", "heard", "basis is one of"),
    ("benefits.0.annual_savings.year", "12", "between 1900 and 2200"),
    ("one_time_costs.0.year", "9", "between 0 and 5"),
    ("timing", "never", "one of end, mid, start"),
    ("finance_rate", "x", "must be a number"),
    ("report_currency.rates", "1, 2", "Give 6 rates"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG, ids=lambda text: str(text)[:28])
def test_bad_input_gets_a_sentence_beside_its_field(
    name, value, sentence, acme, operator, client_for
):
    before = objects.fingerprint("acme")
    page = client_for(operator, "acme").post("/roi/new/", sent(**{name: value}))
    assert page.status_code == 422
    place = name.rsplit(".", 1)[0] if name.endswith((".a", ".shape", ".basis")) else name
    key = place.removesuffix(".year") if "savings" in place else place
    _, _, after = page.content.decode().partition(f'id="{key.replace(".", "-")}_error"')
    assert sentence in after.partition("</div>")[0], key
    assert objects.fingerprint("acme") == before


def test_rates_of_0_and_100_percent_are_rates_and_no_benefit_is_none(acme, operator, client_for):
    client = client_for(operator, "acme")
    for rate, npv in (("0", "500.00"), ("100", "−709.38"), ("7,5", None), ("5 000", None)):
        page = client.post("/roi/new/", {**sent(), "discount_rate.a": rate})
        assert page.status_code == (422 if rate == "7,5" else 302), rate
        if npv:
            assert npv in client.get(page["Location"]).content.decode()
    empty = {k: v for k, v in sent().items() if not k.startswith("benefits.")}
    page = client.post("/roi/new/", empty)
    assert page.status_code == 422
    assert b"at least one benefit" in page.content


def test_a_form_without_javascript_from_empty_to_saved(in_acme, operator, client_for):
    client = client_for(operator, "acme")
    assert b"No scenario yet" in client.get("/roi/").content
    form = {**sent(), "act": "add:risks:threats"}
    page = client.post("/roi/new/", form)
    assert page.status_code == 200
    assert b'name="risks.0.vulnerability.a"' in page.content
    strip = client.post("/roi/estimate/", sent())
    assert b"137\xe2\x80\xaf" not in strip.content
    assert b"137 USD" in strip.content
    with_range = {
        **sent(),
        "benefits.0.annual_savings.shape": "pert",
        "benefits.0.annual_savings.a": "100",
        "benefits.0.annual_savings.b": "300",
        "benefits.0.annual_savings.c": "500",
    }
    page = client.post("/roi/new/", with_range, follow=True)
    assert page.status_code == 200
    text = page.content.decode()
    for heading in ("Cash flow", "Fan:", "What moves the result", "break even", "SHA-256"):
        assert heading in text
    version = ScenarioVersion.objects.get()
    address = f"/roi/{version.scenario_id}"
    assert client.post(f"{address}/edit/", {**with_range, "seen": "1"}).status_code == 409
    saved = client.post(f"{address}/edit/", {**with_range, "seen": "1", "horizon_years": "6"})
    assert saved.status_code == 302
    assert (
        "1 difference between version 1 and version 2"
        in client.get(f"{address}/history/").content.decode()
    )


def test_scenarios_are_found_sorted_and_compared(in_acme, operator, client_for):
    small = save(operator, certain(name="Small"))
    large = save(
        operator,
        certain(name="Large", benefits=[SAVED | {"annual_savings": 900}]),
    )
    foreign = save(operator, certain(name="100% =cmd|x", currency="EUR"))
    names = {
        sort: [v.scenario.name for v in selectors.list_latest(sort=sort)]
        for sort in ("npv", "name")
    }
    assert names["npv"][0] == "Large"
    assert names["name"] == sorted(names["name"])
    assert [v.scenario.name for v in selectors.list_latest(search="100% x")] == ["100% =cmd|x"]
    assert not selectors.list_latest(search="_").exists()
    client = client_for(operator, "acme")

    def compare(*versions):
        return client.get("/roi/compare/", {"with": [v.scenario_id for v in versions]})

    both = compare(small, large).content.decode()
    assert "2 scenarios side by side" in both
    assert f"{2411 - 137:,}".replace(",", "") in both.replace("\u202f", "")
    assert "cannot be compared" in compare(small, foreign).content.decode()
    assert "Nothing to compare" in compare(small).content.decode()


def test_the_interface_computes_what_the_page_does_and_refuses_in_sentences(
    in_acme, operator, client_for
):
    client = client_for(operator, "acme")
    version = save(operator, full())
    read = client.get(f"/api/v1/roi/scenarios/{version.scenario_id}").json()
    assert read["document"] == version.document
    listed = client.get("/api/v1/roi/scenarios").json()["scenarios"]
    assert [one["id"] for one in listed] == [str(version.scenario_id)]

    def compute(body):
        return client.post("/api/v1/roi/compute", body, content_type="application/json")

    computed = compute(json.dumps(full())).json()
    # The saved document writes its shapes out; the file leaves the usual one away.
    assert {**computed, "inputs_sha256": version.inputs_sha256} == version.results
    assert read["results"] == version.results
    refused = compute(json.dumps(full(horizon_years=0)))
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["field"] == "horizon_years"
    for hostile in ("[" * 9000, '{"name": NaN}', '{"a":1,"a":2}', "\x00"):
        assert compute(hostile).status_code == 422
    for not_json in ({"name": "as a form"}, {}):
        assert client.post("/api/v1/roi/compute", not_json).status_code == 415
    assert Scenario.objects.count() == 1
