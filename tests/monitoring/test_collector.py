"""The collector on real rows and a real Redis, its clock in the test's hand."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from monitoring import collector as collector_module
from monitoring import live, nodes, performance, services
from monitoring.collector import Collector, changes_between
from monitoring.heartbeat import NODES_KEY, Heartbeat
from monitoring.live_values import epoch_ms
from monitoring.models import Alert, Node, PerformanceSample, QuantitySample
from monitoring.selectors import find_time_in_service
from tenants.context import tenant_context
from tenants.redis import get_redis, tenant_key
from tests.monitoring.conftest import NOON, after, observe, open_alert, reading

pytestmark = pytest.mark.django_db


def beat(name="worker@a", kind="worker", at=NOON, **fields):
    line = {"kind": kind, "t": epoch_ms(at), "pid": 1, "load": 0.5, "latency_ms": 1.5, **fields}
    get_redis().hset(NODES_KEY, name, json.dumps(line))


def state(schema="acme"):
    return live.read_state(schema)[1]


def node_of(schema, name="worker@a"):
    found = [v for k, v in state(schema).items() if k.startswith("node.") and v["name"] == name]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.fixture
def collector(acme, globex):
    return Collector()


class TestTick:
    def test_publishes_sums_nodes_performance_and_the_sentence(self, collector, account):
        observe(
            account,
            reading("energy", 5.0, 1e-9, 1e-8),
            reading("momentum", 0.0, 0.0, 0.0, law="exact", verdict="CONSERVED"),
            at=after(-1),
            latency_ms=20.0,
        )
        beat("worker@test")
        beat("host", "host", cpu_percent=40.0, memory_percent=50.0, load=1.25)
        beat("web", "web", clients={"acme": 3, "globex": 1})
        get_redis().lpush("t.acme", "a task", "another")
        collector.tick(NOON, lateness_ms=1.5)

        now = state()
        assert now["tick"]["collector"] == "up"
        assert now["quantity.energy"] == {
            "unit": "J",
            "value": 5.0,
            "balance": 1e-9,
            "limit": 1e-8,
            "margin": pytest.approx(0.1),
            "verdict": "BOUNDED",
            "accounts": 1,
            "t": epoch_ms(NOON),
        }
        assert now["quantity.momentum"]["margin"] == 0.0
        assert now["perf"]["latency_ms_p95"] == 20.0
        assert now["perf"]["events_per_s"] == 0.2
        assert (now["perf"]["queue"], now["perf"]["clients"]) == (2, 3)
        assert (now["perf"]["load_1m"], now["perf"]["cpu_percent"]) == (1.25, 40.0)
        assert now["status"]["level"] == "ok"
        assert "All 3 nodes answer" in now["status"]["sentence"]
        assert "1.0×10⁻⁹ of 1.0×10⁻⁸ J" in now["status"]["sentence"]
        assert node_of("acme", "worker@test")["load"] == 0.5
        assert QuantitySample.objects.get(quantity="energy").value == 5.0
        assert PerformanceSample.objects.get().lateness_ms == 1.5

    def test_another_tenant_gets_nodes_and_none_of_the_sums(self, collector, account):
        observe(account, reading())
        beat()
        collector.tick(NOON)

        assert state("acme")["quantity.energy"]["accounts"] == 1
        assert state("globex")["quantity.energy"]["accounts"] == 0
        assert state("globex")["perf"]["events_per_s"] == 0.0
        assert node_of("globex")["state"] == "ok"
        with tenant_context("globex"):
            assert not QuantitySample.objects.exists()
            assert PerformanceSample.objects.count() == 1

    def test_counts_the_seconds_in_which_web_server_and_worker_answer(self, collector, in_acme):
        def found(seconds):
            now = find_time_in_service(since=after(-3600), now=after(seconds))
            return now.since, now.seconds, now.of

        beat()
        collector.tick(NOON)
        assert found(0) == (NOON, 0, 1)
        for second in (1, 2, 2, 1):
            beat(at=after(second))
            beat("web", "web", at=after(second))
            collector.tick(after(second))
        assert found(2) == (NOON, 2, 3)
        collector.tick(after(9))
        assert found(9) == (NOON, 2, 10)
        # Nobody counts: that is no service either, and the next hour begins.
        beat(at=after(4000))
        beat("web", "web", at=after(4000))
        collector.tick(after(4000))
        assert found(4000) == (NOON, 3, 4001)
        assert find_time_in_service(since=after(3600), now=after(4000)).seconds == 1

    def test_without_redis_nothing_is_in_service(self, collector, in_acme, monkeypatch):
        def refuse():
            raise RedisConnectionError("away")

        beat()
        beat("web", "web")
        monkeypatch.setattr(nodes, "read_beats", refuse)
        collector.tick(NOON)
        assert find_time_in_service(since=NOON, now=NOON).seconds == 0

    def test_a_second_tick_publishes_only_what_changed_one_number_on(self, collector, in_acme):
        collector.tick(NOON)
        seq, before = live.read_state("acme")
        collector.tick(after(1))
        again, now = live.read_state("acme")

        assert again == seq + 1
        changes = changes_between(before, now)
        assert {"tick", "perf"} <= set(changes)
        assert "status" not in changes

    def test_repairs_what_redis_forgot_and_removes_what_is_over(self, collector, alert, operator):
        beat()
        collector.tick(NOON)
        get_redis().delete(live.state_key("acme"))
        live.publish("acme", {"node.gone": {"name": "x"}, "run.1": {"state": "RUNNING"}})
        collector.tick(after(1))

        assert state()[f"alert.{alert.pk}"]["state"] == "FIRING"
        assert node_of("acme") is not None
        assert "node.gone" not in state()
        assert state()["run.1"] == {"state": "RUNNING"}

        services.resolve_alert(acting_user=operator, alert_id=alert.pk, resolved_at=after(2))
        collector.tick(after(2))
        assert f"alert.{alert.pk}" not in state()

    def test_a_violation_comes_first_in_the_sentence(self, collector, account):
        observe(account, reading(balance=3.1e-7, verdict="VIOLATED"))
        beat("worker@test")
        collector.tick(NOON)

        status = state()["status"]
        assert status["level"] == "critical"
        assert status["sentence"].startswith("Energy is not conserved: off by 3.1×10⁻⁷ J")

    def test_an_unknown_sum_is_never_called_fine(self, collector, account):
        observe(account, reading(), at=after(-10))
        beat("worker@test")
        collector.tick(NOON)

        assert state()["quantity.energy"]["verdict"] == "UNKNOWN"
        assert state()["quantity.energy"]["value"] is None
        assert state()["status"]["level"] == "unknown"
        assert "unknown" in state()["status"]["sentence"]

    def test_render_times_of_the_last_ten_minutes_become_percentiles(self, collector, in_acme):
        key = tenant_key("acme", "live", "rendered")
        for latency in range(1, 101):
            get_redis().lpush(key, f"{epoch_ms(after(-60))} {latency}.0")
        get_redis().lpush(key, f"{epoch_ms(after(-700))} 9000.0")
        collector.tick(NOON)
        assert (state()["perf"]["screen_ms_p50"], state()["perf"]["screen_ms_p95"]) == (50.0, 95.0)


class TestNodes:
    @pytest.mark.parametrize(
        ("fields", "age_s", "wanted"),
        [
            ({}, 0, "ok"),
            ({}, 1.8, "ok"),
            ({}, 2.0, "unknown"),
            ({"cpu_percent": 85.0, "memory_percent": 80.0}, 0, "ok"),
            ({"cpu_percent": 85.1}, 0, "warning"),
            ({"memory_percent": 80.1}, 0, "warning"),
            ({"down": True}, 0, "critical"),
            ({"down": True}, 3, "unknown"),
            ({"left": True}, 0, "left"),
            ({}, 3601, "left"),
            # The clock was set back: nobody has spoken since.
            ({}, -60, "unknown"),
        ],
    )
    def test_states(self, fields, age_s, wanted):
        last = nodes.Beat("a", "host", after(-age_s), fields)
        assert nodes.judge(last, last.at, NOON) == wanted

    def test_a_node_that_vanishes_is_unknown_then_an_alert_until_it_returns(
        self, collector, in_acme
    ):
        beat()
        collector.tick(NOON)
        collector.tick(after(3))
        assert node_of("acme")["state"] == "unknown"
        assert node_of("acme")["load"] is None
        assert "worker@a does not answer" in state()["status"]["sentence"]
        assert not Alert.objects.exists()

        collector.tick(after(5.5))
        alert = Alert.objects.get()
        assert (alert.severity, alert.title) == ("warning", "worker@a does not answer")
        collector.tick(after(6.5))
        assert Alert.objects.count() == 1

        beat(at=after(7))
        collector.tick(after(7))
        alert.refresh_from_db()
        assert (alert.resolved_at, alert.resolved_by) == (after(7), None)
        assert node_of("acme")["state"] == "ok"

    def test_a_clock_that_is_set_back_neither_hides_nor_feigns_a_node(self, collector, in_acme):
        beat(at=after(60))
        collector.tick(after(60))
        assert node_of("acme")["state"] == "ok"
        collector.tick(NOON)
        assert node_of("acme")["state"] == "unknown"
        beat(at=after(1))
        collector.tick(after(1))
        assert node_of("acme")["state"] == "ok"
        assert Node.objects.get().last_seen_at == after(1)

    def test_a_node_that_says_goodbye_is_no_alert_and_leaves_the_list(self, collector, in_acme):
        beat()
        collector.tick(NOON)
        beat(at=after(1), left=True)
        collector.tick(after(1))
        collector.tick(after(60))
        assert node_of("acme") is None
        assert not Alert.objects.exists()
        assert Node.objects.get().state == "left"

    def test_a_part_that_is_down_is_an_alert_at_once(self, collector, in_acme):
        beat("postgres", "database", down=True)
        collector.tick(NOON)
        assert Alert.objects.get().title == "postgres does not answer"
        assert node_of("acme", "postgres")["state"] == "critical"


class TestOutages:
    def test_without_the_database_it_says_so_through_redis_and_keeps_the_outage(
        self, collector, in_acme, monkeypatch
    ):
        beat("postgres", "database")
        collector.tick(NOON)

        def away():
            raise OperationalError("connection refused")

        # Closing would end the transaction that this test lives in.
        monkeypatch.setattr(collector_module.connection, "close", lambda: None)
        with monkeypatch.context() as outage:
            outage.setattr(collector_module, "list_schemas", away)
            for second in (1, 2, 3):
                before = live.read_state("acme")[0]
                collector.tick(after(second))
                assert live.read_state("acme")[0] == before + 1
        assert state()["status"]["database"] == "down"
        assert node_of("acme", "postgres")["state"] == "critical"
        assert state("globex")["status"]["database"] == "down"

        beat("postgres", "database", at=after(4))
        collector.tick(after(4))
        assert state()["status"]["database"] == "up"
        alert = Alert.objects.get()
        assert (alert.opened_at, alert.resolved_at) == (after(1), after(4))
        assert alert.detail == "Nothing was recorded for 3 s."

    def test_without_redis_it_goes_on_writing_and_blames_no_node(
        self, collector, account, monkeypatch
    ):
        observe(account, reading())
        beat("worker@test")
        collector.tick(NOON)

        class Away:
            def __getattr__(self, name):
                def refuse(*args, **kwargs):
                    raise RedisConnectionError("refused")

                return refuse

        with monkeypatch.context() as outage:
            for module in (live, nodes, performance):
                outage.setattr(module, "get_redis", Away)
            for second in range(1, 9):
                observe(account, reading(), at=after(second))
                collector.tick(after(second))
        assert PerformanceSample.objects.count() == 9
        assert QuantitySample.objects.filter(value=1.0).count() == 9
        assert [alert.title for alert in Alert.objects.all()] == ["Redis does not answer"]

        # Back: heartbeats come a second later, and nobody is called lost meanwhile.
        collector.tick(after(9))
        beat("worker@test", at=after(10))
        collector.tick(after(10))
        assert Alert.objects.get().resolved_at == after(9)
        assert node_of("acme", "worker@test")["state"] == "ok"


class TestHeartbeat:
    def test_reports_itself_and_says_goodbye(self, collector, in_acme):
        heart = Heartbeat("worker", "worker@b", lambda: {"load": 0.25, "memory_MB": 120.0})
        heart.beat()
        last = nodes.read_beats()["worker@b"]
        assert (last.kind, last.fields["load"], last.has_left) == ("worker", 0.25, False)
        heart.stop()
        assert nodes.read_beats()["worker@b"].has_left

    def test_survives_an_absent_redis(self, monkeypatch, caplog):
        from monitoring import heartbeat

        def away():
            raise RedisConnectionError("refused")

        heart = Heartbeat("worker", "worker@b", lambda: {})
        with monkeypatch.context() as outage:
            outage.setattr(heartbeat, "get_redis", away)
            heart.beat()
            heart.beat()
            heart.stop()
        said = [record for record in caplog.records if "cannot report itself" in record.message]
        assert len(said) == 1

    def test_the_reporter_measures_real_parts(self, acme):
        from monitoring import reporter

        assert reporter.measure_database()["latency_ms"] > 0
        assert reporter.measure_redis()["memory_MB"] > 0
        host = reporter.HostMeter().measure()
        assert 0 <= host["cpu_percent"] <= 100
        assert 0 < host["memory_percent"] < 100


def test_an_alert_published_by_a_service_is_not_undone_by_the_collector(collector, in_acme):
    alert = open_alert()
    collector.tick(NOON)
    assert state()[f"alert.{alert.pk}"]["state"] == "FIRING"
