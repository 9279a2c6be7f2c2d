"""Sealing, opening, destroying: through the services, on the real database, with two tenants."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import DatabaseError, connection, connections, transaction

from audit.encryption import cache, envelope, keys, services
from audit.encryption.errors import SealBroken, SubjectErased, SubjectUnknown
from audit.encryption.models import DataKey
from tenants.context import public_context, tenant_context
from tests.cast import NOON

ADA = "person:7b0f4f0e-0000-4000-8000-000000000001"
BOB = "person:7b0f4f0e-0000-4000-8000-000000000002"
PLACE = "notes|text"


def seal(subject: str = ADA, text: bytes = b"hello", context: str = PLACE) -> bytes:
    return services.seal(subject, text, context=context)


def destroy(subject: str = ADA) -> DataKey:
    return services.destroy_key(subject, destroyed_by="tests", reason="asked for it", at=NOON)


@pytest.mark.django_db
@pytest.mark.usefixtures("in_acme")
class TestSealing:
    def test_content_opens_where_it_was_sealed(self):
        sealed = seal()
        assert b"hello" not in sealed
        assert services.open_sealed(sealed, context=PLACE) == b"hello"
        assert services.open_sealed(memoryview(sealed), context=PLACE, subject_id=ADA) == b"hello"
        assert services.subject_of(sealed) == ADA

    def test_one_key_for_each_subject(self):
        seal(), seal(), seal(BOB)
        assert sorted(DataKey.objects.values_list("subject_id", "generation")) == [
            (ADA, 1),
            (BOB, 1),
        ]

    def test_it_does_not_open_in_another_column_or_for_another_subject(self):
        sealed = seal()
        seal(BOB)
        with pytest.raises(SealBroken):
            services.open_sealed(sealed, context="notes|other")
        with pytest.raises(SealBroken):
            services.open_sealed(sealed, context=PLACE, subject_id=BOB)

    def test_it_does_not_open_in_another_tenant_even_with_its_key_moved_along(self):
        sealed = seal()
        row = DataKey.objects.get(subject_id=ADA)
        with tenant_context("globex"):
            with pytest.raises(SealBroken):
                services.open_sealed(sealed, context=PLACE)
            row.save(force_insert=True)
            with pytest.raises(SealBroken):
                services.open_sealed(sealed, context=PLACE)
        assert services.open_sealed(sealed, context=PLACE) == b"hello"

    def test_a_wrapped_key_put_under_another_subject_does_not_open(self):
        sealed = seal()
        seal(BOB)
        keys.forget_everything()
        stolen = DataKey.objects.get(subject_id=ADA).wrapped
        DataKey.objects.filter(subject_id=BOB).update(wrapped=stolen)
        with pytest.raises(SealBroken):
            seal(BOB)
        assert services.open_sealed(sealed, context=PLACE) == b"hello"

    def test_the_platform_has_keys_of_its_own(self):
        with public_context():
            sealed = seal()
            assert services.open_sealed(sealed, context=PLACE) == b"hello"
        with pytest.raises(SealBroken):
            services.open_sealed(sealed, context=PLACE)

    def test_a_tenant_does_not_reach_the_platforms_keys(self):
        with (
            pytest.raises(DatabaseError, match="permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT * FROM public.encryption_datakey")

    @pytest.mark.parametrize("subject", ["", "ada@acme.example", "Ada Owner", "x" * 129, "a\n"])
    def test_a_subject_is_a_pseudonym(self, subject):
        with pytest.raises(ValueError, match="pseudonym"):
            seal(subject)
        assert not DataKey.objects.exists()

    @pytest.mark.parametrize("context", ["", "x" * 301])
    def test_a_context_is_named(self, context):
        with pytest.raises(ValueError, match="context"):
            seal(context=context)


@pytest.mark.django_db
def test_without_a_schema_nothing_is_sealed():
    with pytest.raises(RuntimeError, match="schema"):
        seal()


@pytest.mark.django_db
@pytest.mark.usefixtures("in_acme")
class TestDestroying:
    def test_leaves_a_tombstone_and_nothing_to_open(self):
        sealed, other = seal(), seal(BOB)
        tombstone = destroy()
        assert tombstone.is_destroyed
        row = DataKey.objects.get(subject_id=ADA)
        assert (row.wrapped, row.destroyed_at, row.reason) == (None, NOON, "asked for it")
        assert services.open_sealed(sealed, context=PLACE) is None
        assert services.open_sealed(other, context=PLACE) == b"hello"

    def test_twice_is_once(self):
        seal()
        destroy()
        again = services.destroy_key(ADA, destroyed_by="other", reason="other", at=NOON)
        assert (again.destroyed_by, again.reason) == ("tests", "asked for it")

    def test_a_subject_that_never_had_a_key_is_refused(self):
        with pytest.raises(SubjectUnknown):
            destroy()
        assert not DataKey.objects.exists()

    def test_no_new_key_in_silence(self):
        seal()
        destroy()
        for attempt in (seal, lambda: services.ensure_key(ADA)):
            with pytest.raises(SubjectErased):
                attempt()
        assert DataKey.objects.count() == 1

    def test_a_new_key_when_asked_for_opens_nothing_old(self):
        old = seal()
        destroy()
        key_id = services.ensure_key(ADA, renew=True)
        assert services.ensure_key(ADA) == services.ensure_key(ADA, renew=True) == key_id
        new = seal(text=b"new life")
        assert services.open_sealed(old, context=PLACE) is None
        assert services.open_sealed(new, context=PLACE) == b"new life"
        destroy()
        assert services.open_sealed(new, context=PLACE) is None

    def test_the_other_tenants_key_of_the_same_person_stays(self):
        with tenant_context("globex"):
            theirs = seal()
        seal()
        destroy()
        with tenant_context("globex"):
            assert services.open_sealed(theirs, context=PLACE) == b"hello"

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM encryption_datakey",
            "UPDATE encryption_datakey SET destroyed_at = NULL, destroyed_by = '',"
            " wrapped = '\\x00'",
            "UPDATE encryption_datakey SET reason = ''",
        ],
    )
    def test_the_database_keeps_the_tombstone(self, statement):
        seal()
        destroy()
        with (
            pytest.raises(DatabaseError, match="data key"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
        assert DataKey.objects.get().destroyed_by == "tests"

    def test_the_database_keeps_a_key_with_its_subject(self):
        seal()
        with pytest.raises(DatabaseError, match="stays with its subject"), transaction.atomic():
            DataKey.objects.update(subject_id=BOB)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("in_acme")
class TestMemory:
    def test_a_warm_key_costs_no_query(self, django_assert_num_queries):
        sealed = seal()
        seal()  # The first reading after the commit.
        with django_assert_num_queries(0):
            seal()
            services.open_sealed(sealed, context=PLACE)

    def test_a_cold_key_costs_one_query_inside_a_transaction_too(self, django_assert_num_queries):
        seal()
        keys.forget_everything()
        with transaction.atomic(), django_assert_num_queries(1):
            for _ in range(10):
                seal()

    def test_many_are_opened_with_one_query(self, django_assert_num_queries):
        sealed = [seal(f"person:{number}") for number in range(20)]
        keys.forget_everything()
        with django_assert_num_queries(1):
            for _ in range(2):
                opened = services.open_many((each, PLACE) for each in sealed)
        assert opened == [b"hello"] * 20

    def test_many_are_opened_whatever_one_of_them_is_like(self):
        good, erased = seal(ADA), seal(BOB)
        destroy(BOB)
        unknown = good[:1] + bytes(16) + good[17:]
        altered = good[:-1] + bytes([good[-1] ^ 1])
        pieces = [(each, PLACE) for each in (b"short", unknown, altered, erased, good)]
        *broken, gone, opened, moved = services.open_many([*pieces, (good, "elsewhere")])
        assert [isinstance(each, SealBroken) for each in (*broken, moved)] == [True] * 4
        assert (gone, opened) == (None, b"hello")

    def test_a_key_that_was_rolled_back_is_not_used_again(self):
        with transaction.atomic():
            seal()
            seal()
            transaction.set_rollback(True)
        assert not DataKey.objects.exists()
        sealed = seal()
        keys.forget_everything()
        assert services.open_sealed(sealed, context=PLACE) == b"hello"

    def test_a_key_of_a_savepoint_that_was_rolled_back_is_not_used_again(self):
        with transaction.atomic():
            with transaction.atomic():
                seal()
                transaction.set_rollback(True)
            sealed = seal()
        keys.forget_everything()
        assert services.open_sealed(sealed, context=PLACE) == b"hello"

    def test_a_destruction_that_was_rolled_back_leaves_the_key_in_use(self):
        sealed = seal()
        with transaction.atomic():
            destroy()
            assert services.open_sealed(sealed, context=PLACE) is None
            transaction.set_rollback(True)
        assert services.open_sealed(sealed, context=PLACE) == b"hello"

    def test_the_cache_holds_a_bounded_number_for_a_bounded_time(self):
        kept = cache.KeyCache(keep_s=60, keys_max=10)
        key = cache.OpenKey(keys.DataKey().pk, ADA, 1, None)
        now = time.monotonic()
        for number in range(100):
            kept.put(number, key, read_s=now)
        assert sum(kept.get(number) is not None for number in range(100)) == 20
        kept.put("late", key, read_s=now - 61)
        assert kept.get("late") is None


@pytest.mark.django_db(transaction=True)
def test_two_threads_that_meet_a_new_subject_make_one_key(acme):
    barrier, sealed = threading.Barrier(4), []

    def work() -> None:
        with tenant_context("acme"):
            try:
                barrier.wait()
                with transaction.atomic():
                    sealed.append(seal())
            finally:
                connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys.forget_everything()
    with tenant_context("acme"):
        assert DataKey.objects.count() == 1
        assert [services.open_sealed(each, context=PLACE) for each in sealed] == [b"hello"] * 4


def test_keys_show_nothing_of_themselves():
    key = cache.OpenKey(keys.DataKey().pk, ADA, 1, envelope.AESGCM(bytes(32)))
    assert repr(key) == f"<data key {key.id}>"
    with pytest.raises(TypeError):
        key.__reduce__()
