"""Accounts, observations and alerts: what is written, what is refused, and what is published
when.
"""

from __future__ import annotations

import datetime
import uuid

import pytest
from django.db import IntegrityError, transaction

from monitoring import live, services
from monitoring.models import Account, Alert, Node, Observation, PerformanceSample, QuantitySample
from monitoring.quantities import list_sums
from tenants.context import NoTenantChosen, tenant_context
from tenants.errors import Invalid
from tests.monitoring.conftest import NOON, after, observe, open_alert, reading

pytestmark = pytest.mark.django_db


def live_state(schema="acme"):
    return live.read_state(schema)[1]


class TestAccounts:
    def test_opening_twice_gives_the_same_account(self, account):
        again = services.open_account(name="other", kind="run", reference="7", opened_at=after(60))

        assert again == account
        assert Account.objects.count() == 1

    def test_after_closing_the_same_reference_opens_a_new_one(self, account):
        services.close_account(account_id=account.pk, closed_at=after(1), outcome="DONE")
        again = services.open_account(
            name="Solar System", kind="run", reference="7", opened_at=after(2)
        )

        assert again != account
        account.refresh_from_db()
        assert (account.closed_at, account.outcome) == (after(1), "DONE")

    def test_refuses_to_close_twice_or_what_is_not_there(self, account):
        services.close_account(account_id=account.pk, closed_at=after(1), outcome="DONE")

        with pytest.raises(services.AccountClosed):
            services.close_account(account_id=account.pk, closed_at=after(2), outcome="FAILED")
        with pytest.raises(services.AccountUnknown):
            services.close_account(account_id=uuid.uuid4(), closed_at=NOON, outcome="DONE")

        assert Account.objects.get().outcome == "DONE"

    @pytest.mark.parametrize(
        "changes",
        [{"name": ""}, {"kind": ""}, {"reference": ""}, {"subject_url": "//evil.example/"}],
    )
    def test_refuses_bad_input_and_writes_nothing(self, in_acme, changes):
        fields = {"name": "a", "kind": "run", "reference": "1", "opened_at": NOON, **changes}
        with pytest.raises(Invalid):
            services.open_account(**fields)
        assert not Account.objects.exists()


class TestRecordObservation:
    def test_writes_a_row_a_quantity_and_the_node(self, account):
        rows = observe(
            account,
            reading("energy"),
            reading("momentum", 0.0, 0.0, 0.0, law="exact", verdict="CONSERVED"),
            latency_ms=12.0,
            load=0.5,
        )

        assert {row.quantity for row in rows} == {"energy", "momentum"}
        assert Observation.objects.filter(latency_ms=12.0, load=0.5).count() == 2
        assert Node.objects.get().name == "worker@test"
        assert not Alert.objects.exists()

    def test_a_violation_opens_one_critical_alert_however_often_it_is_read(self, account):
        bad = reading(balance=-3e-8, verdict="VIOLATED")
        observe(account, bad)
        observe(account, bad, at=after(1))

        alert = Alert.objects.get()
        assert (alert.severity, alert.quantity, alert.opened_at) == ("critical", "energy", NOON)
        assert (alert.value, alert.limit, alert.unit) == (3e-8, 1e-8, "J")
        assert "Solar System" in alert.title
        assert alert.subject_url == "/runs/7/"

    def test_the_alert_and_the_reading_are_in_one_transaction(self, account):
        class Crash(Exception):
            pass

        def violate_and_crash():
            with transaction.atomic():
                observe(account, reading(balance=1.0, verdict="VIOLATED"))
                raise Crash

        with pytest.raises(Crash):
            violate_and_crash()
        assert not Alert.objects.exists()
        assert not Observation.objects.exists()
        assert live_state() == {}

    def test_alert_and_sum_are_published_after_the_commit_and_not_before(
        self, account, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            observe(account, reading(balance=1.0, verdict="VIOLATED"))
            assert live_state() == {}

        state = live_state()
        alert = Alert.objects.get()
        assert state[f"alert.{alert.pk}"]["state"] == "FIRING"
        assert state[f"alert.{alert.pk}"]["run_url"] == "/runs/7/"
        assert state["quantity.energy"]["verdict"] == "VIOLATED"

    @pytest.mark.parametrize(
        "bad",
        [
            reading(unit="kWh"),
            reading(law="loose"),
            reading(verdict="FINE"),
            reading(limit=float("inf")),
            reading(limit=-1.0),
            reading(limit=None),
            # Called fine, and no number: never.
            reading(value=float("nan")),
            reading(balance=None),
        ],
    )
    def test_refuses_a_bad_reading_and_writes_nothing_of_the_others(self, account, bad):
        with pytest.raises(services.BadReading):
            observe(account, reading("momentum"), bad)
        assert not Observation.objects.exists()
        assert not Node.objects.exists()

    def test_refuses_an_unknown_quantity(self, account):
        bad = services.QuantityReading("charm", "J", 1.0, 0.0, 1.0, "exact", "CONSERVED")
        with pytest.raises(services.BadReading):
            observe(account, bad)

    def test_a_reading_that_is_not_a_number_is_stored_as_none_and_alerts(self, account):
        observe(account, reading(value=float("nan"), balance=float("inf"), verdict="VIOLATED"))

        row = Observation.objects.get()
        assert (row.value, row.balance) == (None, None)
        assert "not a finite number" in Alert.objects.get().detail

    def test_refuses_a_closed_account_no_readings_and_no_node(self, account):
        with pytest.raises(services.BadReading):
            observe(account)
        with pytest.raises(services.BadReading):
            observe(account, reading(), node="")
        services.close_account(account_id=account.pk, closed_at=NOON, outcome="DONE")
        with pytest.raises(services.AccountClosed):
            observe(account, reading())
        assert not Observation.objects.exists()


class TestSums:
    def sums(self, now=NOON):
        return {each.quantity: each for each in list_sums(now)}

    def second_account(self, opened_at=NOON):
        return services.open_account(name="b", kind="run", reference="8", opened_at=opened_at)

    def test_nothing_open_is_unknown_with_no_accounts(self, in_acme):
        energy = self.sums()["energy"]
        assert (energy.verdict, energy.accounts, energy.value) == ("UNKNOWN", 0, None)

    def test_adds_over_accounts_and_shows_the_one_closest_to_its_limit(self, account):
        observe(account, reading(value=2.0, balance=1e-9, limit=1e-8))
        observe(self.second_account(), reading(value=3.5, balance=-4e-9, limit=5e-9))

        energy = self.sums(after(1))["energy"]
        assert (energy.value, energy.balance, energy.limit) == (5.5, 4e-9, 5e-9)
        assert (energy.verdict, energy.accounts, energy.silent) == ("BOUNDED", 2, 0)

    def test_an_account_that_falls_silent_makes_the_sum_unknown(self, account):
        observe(account, reading())
        other = self.second_account()
        observe(other, reading())
        observe(other, reading(), at=after(6))

        assert self.sums(after(5))["energy"].value == 2.0
        energy = self.sums(after(6))["energy"]
        assert (energy.value, energy.verdict, energy.silent) == (None, "UNKNOWN", 1)

    def test_an_account_that_never_spoke_counts_from_its_sixth_second(self, account):
        observe(account, reading(), at=after(10))
        self.second_account(opened_at=after(8))

        assert self.sums(after(12))["energy"].value == 1.0
        observe(account, reading(), at=after(14))
        assert self.sums(after(14))["energy"].verdict == "UNKNOWN"

    def test_a_violation_outranks_silence_and_closing_is_a_declared_sink(self, account):
        observe(account, reading(balance=1.0, verdict="VIOLATED"))
        assert self.sums(after(60))["energy"].verdict == "VIOLATED"
        services.close_account(account_id=account.pk, closed_at=after(1), outcome="VIOLATED")
        assert self.sums(after(60))["energy"].accounts == 0


class TestAlerts:
    def test_one_alert_a_key_while_it_is_unresolved(self, alert, operator):
        assert open_alert(opened_at=after(5)) == alert
        services.resolve_alert(acting_user=operator, alert_id=alert.pk, resolved_at=after(6))
        assert open_alert(opened_at=after(7)) != alert

    def test_the_database_backs_the_key_up(self, alert):
        with pytest.raises(IntegrityError), transaction.atomic():
            Alert.objects.create(
                severity="info", title="x", dedupe_key=alert.dedupe_key, opened_at=NOON
            )

    def test_acknowledging_notes_who_when_and_why_and_publishes(
        self, alert, operator, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            services.acknowledge_alert(
                acting_user=operator, alert_id=alert.pk, acknowledged_at=after(9), note=" on it "
            )

        alert.refresh_from_db()
        assert (alert.acknowledged_by, alert.acknowledged_at) == (operator, after(9))
        assert (alert.acknowledged_note, alert.state) == ("on it", "ACKNOWLEDGED")
        value = live_state()[f"alert.{alert.pk}"]
        assert (value["state"], value["acknowledged_by"]) == ("ACKNOWLEDGED", operator.email)

    def test_refuses_a_second_acknowledgement_and_keeps_the_first(self, alert, operator, owner):
        services.acknowledge_alert(
            acting_user=operator, alert_id=alert.pk, acknowledged_at=after(1)
        )
        with pytest.raises(services.AlreadyAcknowledged, match=operator.email):
            services.acknowledge_alert(
                acting_user=owner, alert_id=alert.pk, acknowledged_at=after(2)
            )
        alert.refresh_from_db()
        assert alert.acknowledged_by == operator

    def test_refuses_to_touch_a_resolved_or_unknown_alert(self, alert, operator):
        services.resolve_alert(
            acting_user=operator, alert_id=alert.pk, resolved_at=after(1), note="rolled back"
        )
        for refused in (services.acknowledge_alert, services.resolve_alert):
            time = "acknowledged_at" if refused is services.acknowledge_alert else "resolved_at"
            with pytest.raises(services.AlreadyResolved):
                refused(acting_user=operator, alert_id=alert.pk, **{time: after(2)})
            with pytest.raises(services.AlertUnknown):
                refused(acting_user=operator, alert_id=uuid.uuid4(), **{time: after(2)})
        alert.refresh_from_db()
        assert (alert.resolved_at, alert.resolved_note) == (after(1), "rolled back")
        assert alert.acknowledged_at is None

    @pytest.mark.parametrize("note", ["x" * 501, "null\x00here"])
    def test_refuses_a_note_that_is_none_and_writes_nothing(self, alert, operator, note):
        with pytest.raises(Invalid):
            services.acknowledge_alert(
                acting_user=operator, alert_id=alert.pk, acknowledged_at=NOON, note=note
            )
        alert.refresh_from_db()
        assert alert.state == "FIRING"

    def test_the_platform_clears_what_ended_by_itself(self, alert):
        cleared = services.clear_alert(
            dedupe_key=alert.dedupe_key, resolved_at=after(3), note="It answers again."
        )
        assert (cleared.state, cleared.resolved_by) == ("RESOLVED", None)
        assert (
            services.clear_alert(dedupe_key=alert.dedupe_key, resolved_at=after(4), note="") is None
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"severity": "catastrophic"},
            {"title": ""},
            {"dedupe_key": ""},
            {"subject_url": "javascript:alert(1)"},
        ],
    )
    def test_refuses_bad_input_and_writes_nothing(self, in_acme, changes):
        with pytest.raises(Invalid):
            open_alert(**changes)
        assert not Alert.objects.exists()

    def test_needs_a_tenant_and_stays_in_it(self, alert, globex):
        with tenant_context("globex"):
            assert not Alert.objects.exists()
            with pytest.raises(services.AlertUnknown):
                services.resolve_alert(acting_user=None, alert_id=alert.pk, resolved_at=NOON)


def test_publishing_a_run_needs_a_tenant_and_goes_out_at_once(acme):
    with pytest.raises(NoTenantChosen):
        services.publish_run(run_id="1", fields={"state": "RUNNING"})
    with tenant_context("acme"):
        services.publish_run(run_id="1", fields={"state": "RUNNING", "eta_s": float("inf")})
        assert live_state() == {"run.1": {"state": "RUNNING", "eta_s": None}}
        services.publish_run(run_id="1", fields=None)
    assert live_state() == {}
    assert live_state("globex") == {}


def test_old_rows_go_and_alerts_and_their_evidence_stay(account):
    old = NOON - datetime.timedelta(days=8)
    observe(account, reading(), reading("momentum", verdict="VIOLATED"), at=old)
    observe(account, reading())
    sample = {"quantity": "energy", "unit": "J", "verdict": "BOUNDED", "accounts": 1}
    for taken_at in (old, NOON):
        QuantitySample.objects.create(taken_at=taken_at, **sample)
        PerformanceSample.objects.create(taken_at=taken_at, lateness_ms=1.0)

    assert services.delete_old_rows(now=NOON) == 3

    assert set(Observation.objects.values_list("quantity", "verdict")) == {
        ("momentum", "VIOLATED"),
        ("energy", "BOUNDED"),
    }
    assert QuantitySample.objects.get().taken_at == NOON
    assert PerformanceSample.objects.get().taken_at == NOON
    assert Alert.objects.count() == 1
