"""The encrypted fields, on the models that use them."""

from __future__ import annotations

import copy
import os
import pickle
from io import StringIO

import psycopg
import pytest
from django.core import serializers
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.core.management.commands import migrate as core_migrate
from django.db import connection, connections, models, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import F, Value
from django.template import Context, Template
from django.test.utils import isolate_apps

from audit.encryption import keys, services
from audit.encryption.errors import SealBroken
from audit.encryption.fields import EncryptedJSONField, EncryptedTextField, Erased
from audit.encryption.models import DataKey
from monitoring.models import Alert
from monitoring.services import acknowledge_alert, clear_alert, open_alert, resolve_alert
from tenants.approvals.models import ApprovalRequest
from tenants.context import tenant_context
from tenants.migrations_state import migrate_schema
from tests.cast import NOON

NOTE = "Schröder saw smoke in hall 3"


def make_alert(key: str = "k") -> Alert:
    return open_alert(
        severity="critical",
        title="Energy left its bound",
        detail="",
        quantity="energy",
        value=2.0,
        limit=1.0,
        unit="J",
        dedupe_key=key,
        opened_at=NOON,
    )


@pytest.fixture
def noted(in_acme, operator) -> Alert:
    alert = make_alert()
    return acknowledge_alert(
        acting_user=operator, alert_id=alert.pk, acknowledged_at=NOON, note=NOTE
    )


def stored(alert: Alert, column: str = "acknowledged_note") -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM monitoring_alert WHERE id = %s", [alert.pk])
        return bytes(cursor.fetchone()[0])


def erase(user) -> None:
    services.destroy_key(f"person:{user.pk}", destroyed_by="tests", reason="x", at=NOON)


@pytest.mark.django_db
class TestReadingAndWriting:
    def test_plain_in_python_and_sealed_in_the_database(self, noted, operator):
        assert Alert.objects.get().acknowledged_note == NOTE
        raw = stored(noted)
        assert "Schröder".encode() not in raw and b"smoke" not in raw
        assert services.subject_of(raw) == f"person:{operator.pk}"

    def test_an_empty_text_is_empty(self, in_acme):
        make_alert()
        alert = Alert.objects.get()
        assert alert.acknowledged_note == ""
        assert stored(alert) == b""
        assert not DataKey.objects.exclude(subject_id="log").exists()

    def test_what_the_platform_says_is_sealed_for_the_platform(self, in_acme):
        make_alert()
        cleared = clear_alert(dedupe_key="k", resolved_at=NOON, note="back in its bound")
        assert Alert.objects.get().resolved_note == "back in its bound"
        assert services.subject_of(stored(cleared, "resolved_note")) == "log"

    def test_saving_another_column_leaves_the_bytes_as_they_are(self, noted):
        before = stored(noted)
        alert = Alert.objects.get()
        alert.title = "New"
        alert.save()
        assert stored(noted) == before

    def test_deferred_refreshed_copied_and_pickled_rows_still_open(self, noted):
        assert Alert.objects.defer("acknowledged_note").get().acknowledged_note == NOTE
        assert Alert.objects.only("title").get().acknowledged_note == NOTE
        alert = Alert.objects.get()
        alert.refresh_from_db()
        assert alert.acknowledged_note == NOTE
        fresh = Alert.objects.get()
        assert copy.deepcopy(fresh).acknowledged_note == NOTE
        data = pickle.dumps(fresh)
        assert "Schröder".encode() not in data
        assert pickle.loads(data).acknowledged_note == NOTE

    def test_rows_made_in_bulk_are_sealed(self, in_acme, operator):
        made = Alert(
            severity="info",
            title="t",
            dedupe_key="b",
            opened_at=NOON,
            acknowledged_at=NOON,
            acknowledged_by=operator,
            acknowledged_note=NOTE,
        )
        Alert.objects.bulk_create([made])
        assert Alert.objects.get().acknowledged_note == NOTE
        assert b"smoke" not in stored(made)

    def test_values_stay_sealed(self, noted):
        (row,) = Alert.objects.values_list("acknowledged_note")
        assert repr(row) == "(<sealed>,)"


@pytest.mark.django_db
class TestErasure:
    def test_leaves_a_marker_that_renders_and_is_written_back(self, noted, operator):
        before = stored(noted)
        erase(operator)
        alert = Alert.objects.get()
        assert isinstance(alert.acknowledged_note, Erased)
        page = Template("{% if a.acknowledged_note %}{{ a.acknowledged_note }}{% endif %}")
        assert page.render(Context({"a": alert})) == "erased"
        alert.refresh_from_db()
        alert.title = "New"
        alert.save()
        assert stored(alert) == before

    def test_the_page_of_the_alert_says_so(self, noted, operator, viewer, client_for):
        address = f"/alerts/{noted.pk}/"
        assert NOTE in client_for(viewer, "acme").get(address).content.decode()
        with tenant_context("acme"):
            erase(operator)
        page = client_for(viewer, "acme").get(address)
        assert page.status_code == 200
        assert NOTE not in page.content.decode()
        assert "<p>erased</p>" in page.content.decode()

    def test_an_erased_person_who_writes_is_refused_and_nothing_is_written(
        self, noted, operator, client_for
    ):
        other = make_alert("other")
        erase(operator)
        address = f"/alerts/{other.pk}/acknowledge/"
        client = client_for(operator, "acme", raise_request_exception=False)
        answer = client.post(address, {"note": "again"}, headers={"accept": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (409, "data_erased")
        assert Alert.objects.get(pk=other.pk).acknowledged_at is None

    def test_without_a_kek_nothing_is_written(self, in_acme, operator, client_for, monkeypatch):
        alert = make_alert()
        monkeypatch.setenv("AII_KEK", "unusable")
        keys.forget_everything()
        address = f"/alerts/{alert.pk}/acknowledge/"
        client = client_for(operator, "acme", raise_request_exception=False)
        answer = client.post(address, {"note": "x"}, headers={"accept": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert Alert.objects.get(pk=alert.pk).acknowledged_at is None


@pytest.mark.django_db
class TestRefusals:
    @pytest.mark.parametrize(
        "lookup",
        [
            {"acknowledged_note": NOTE},
            {"acknowledged_note__contains": "smoke"},
            {"acknowledged_note__in": [NOTE]},
            {"acknowledged_note__lower": NOTE},
            {"acknowledged_note": F("title")},
        ],
    )
    def test_it_cannot_be_searched(self, noted, lookup):
        with pytest.raises(FieldError, match="is encrypted: it cannot be searched or compared"):
            list(Alert.objects.filter(**lookup))
        assert Alert.objects.filter(acknowledged_note__isnull=False).count() == 1

    def test_it_is_not_written_past_its_row(self, noted):
        before = stored(noted)
        for write in (
            lambda: Alert.objects.update(acknowledged_note="x"),
            lambda: Alert.objects.update(acknowledged_note=Value("x")),
            lambda: Alert.objects.bulk_update([Alert.objects.get()], ["acknowledged_note"]),
        ):
            with pytest.raises(FieldError, match="know no subject"), transaction.atomic():
                write()
        assert stored(noted) == before

    def test_it_is_not_written_into_fixtures(self, noted):
        with pytest.raises(FieldError, match="fixtures"):
            serializers.serialize("json", Alert.objects.all())

    def test_a_row_that_changes_hands_does_not_take_content_along(self, noted, owner):
        alert = Alert.objects.get()
        alert.acknowledged_by = owner
        with pytest.raises(SealBroken, match="another subject"), transaction.atomic():
            alert.save()
        Alert.objects.update(acknowledged_by=owner)
        with pytest.raises(SealBroken):
            _ = Alert.objects.get().acknowledged_note

    def test_content_moved_to_another_column_does_not_open(self, noted, operator):
        resolve_alert(acting_user=operator, alert_id=noted.pk, resolved_at=NOON, note="other")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE monitoring_alert SET resolved_note = acknowledged_note")
        with pytest.raises(SealBroken):
            _ = Alert.objects.get().resolved_note

    def test_content_needs_a_subject(self, in_acme):
        alert = make_alert()
        alert.acknowledged_note = NOTE
        with (
            pytest.raises(ValueError, match="needs acknowledged_by_id"),
            transaction.atomic(),
        ):
            alert.save()
        alert.acknowledged_note = 7
        with pytest.raises(TypeError, match="holds text"):
            alert.save()

    @isolate_apps("monitoring")
    def test_a_model_is_checked(self):
        class Wrong(models.Model):  # noqa: DJ008
            note = EncryptedTextField(subject="nobody_id")
            other = EncryptedTextField(subject="id", db_index=True)

            class Meta:
                app_label = "monitoring"

        found = [problem.id for field in Wrong._meta.fields for problem in field.check()]
        assert found == ["encryption.E002", "encryption.E003"]


@pytest.mark.django_db
@isolate_apps("monitoring")
def test_json_is_sealed_as_json(in_acme, operator):
    class Form(models.Model):  # noqa: DJ008
        person_id = models.UUIDField(primary_key=True)
        answers = EncryptedJSONField(subject="person_id", null=True)

        class Meta:
            app_label = "monitoring"

    field = Form._meta.get_field("answers")
    row = Form(person_id=operator.pk, answers={"a": [1, "é", None]})
    raw = field.get_db_prep_save(field.pre_save(row, add=True), connection)
    again = Form(person_id=operator.pk, answers=field.from_db_value(raw, None, connection))
    assert again.answers == {"a": [1, "é", None]}
    for nothing in (None,):
        row.answers = nothing
        assert field.get_db_prep_save(field.pre_save(row, add=True), connection) is None
    for value in ({}, [], 0, "", False):
        row.answers = value
        raw = field.get_db_prep_save(field.pre_save(row, add=True), connection)
        again.answers = field.from_db_value(raw, None, connection)
        assert again.answers == value
    row.answers = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        field.pre_save(row, add=True)


@pytest.fixture
def last_release():
    """A schema as an earlier release left it: alerts and approvals in plain words."""
    schema = "lastrelease"
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(f"CREATE SCHEMA {schema}")
        try:
            with tenant_context(schema, include_public=False):
                MigrationRecorder(connections["owner"]).ensure_schema()
            with tenant_context(schema):
                for app in ("monitoring", "approvals"):
                    call_command(
                        core_migrate.Command(stdout=StringIO()),
                        app,
                        "0001",
                        database="owner",
                        verbosity=0,
                    )
            yield schema, owner
        finally:
            connections["owner"].close()
            owner.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_the_migration_seals_what_was_plain_and_clears_the_table(last_release, operator):
    schema, owner = last_release
    for number, note in enumerate([NOTE, ""]):
        owner.execute(
            f"INSERT INTO {schema}.monitoring_alert (id, severity, title, detail, quantity, unit,"
            " subject_url, dedupe_key, opened_at, acknowledged_at, acknowledged_by_id,"
            " acknowledged_note, resolved_at, resolved_note)"
            " VALUES (gen_random_uuid(), 'info', 't', '', '', '', '', %s, now(), now(), %s, %s,"
            " now(), %s)",
            [str(number), operator.pk, note, "by itself" if note else ""],
        )
    owner.execute(
        f"INSERT INTO {schema}.approvals_approvalrequest (id, kind, parameters_text,"
        " parameters_sha256, reason, requested_at, requested_by_id, requested_by_email, expires_at,"
        " state, decided_by_email, note, outcome_label, outcome_url)"
        " VALUES (gen_random_uuid(), 'k', '{}', '', %s, now(), %s, %s, now() + '7 days', 'WAITING',"
        " '', '', '', '')",
        [NOTE, operator.pk, operator.email],
    )
    migrate_schema(schema)
    with tenant_context(schema):
        asked = ApprovalRequest.objects.using("owner").get()
        assert (asked.reason, asked.requested_by_email) == (NOTE, operator.email)
        assert (asked.note, asked.decided_by_email) == ("", "")
        alerts = Alert.objects.using("owner").order_by("dedupe_key")
        assert [(a.acknowledged_note, str(a.resolved_note)) for a in alerts] == [
            (NOTE, "by itself"),
            ("", ""),
        ]
        subjects = DataKey.objects.using("owner").values_list("subject_id", flat=True)
        assert sorted(subjects) == ["log", f"person:{operator.pk}"]
    columns = owner.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        f" WHERE attrelid IN ('{schema}.monitoring_alert'::regclass,"
        f" '{schema}.approvals_approvalrequest'::regclass)"
        " AND attname ~ 'note|reason|email|plain' AND NOT attisdropped"
    ).fetchall()
    assert sorted(columns) == [
        (name, "bytea")
        for name in (
            *("acknowledged_note", "decided_by_email", "note", "reason", "requested_by_email"),
            "resolved_note",
        )
    ]
