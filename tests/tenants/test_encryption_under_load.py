"""KEKs change, and keys are destroyed, while threads and another process go on sealing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import connections, transaction

from audit.encryption import keys, rotation, services
from audit.encryption.cache import CACHE, KEEP_S
from audit.encryption.errors import SubjectErased
from audit.encryption.models import DataKey
from tenants import encryption
from tenants.context import tenant_context
from tests.cast import NOON
from tests.tenants.test_encryption_commands import (
    _keys_of_this_test,  # noqa: F401
    let_old_keks_settle,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

ROOT = Path(__file__).resolve().parent.parent.parent
PLACE = "notes|text"
WRITER = """
import django; django.setup()
from django.db import transaction
from audit.encryption import services
from tenants.context import tenant_context
with tenant_context("acme"):
    print("ready", flush=True)
    for number in range(300):
        subject = f"person:process-{number}"
        with transaction.atomic():
            print(services.seal(subject, subject.encode(), context="notes|text").hex(), flush=True)
"""


def write(name: str, until: threading.Event, sealed: list[tuple[str, bytes]]) -> None:
    """Seal for a new subject, and for one that is there, in one transaction after another."""
    number = 0
    try:
        while not until.is_set():
            with tenant_context("acme"):
                for subject in (f"person:{name}-{number}", f"person:{name}"):
                    with transaction.atomic():
                        each = services.seal(subject, subject.encode(), context=PLACE)
                    sealed.append((subject, each))
            number += 1
    finally:
        connections.close_all()


def test_three_rotations_under_writers_lose_nothing(acme):
    done, sealed = threading.Event(), []
    threads = [threading.Thread(target=write, args=(f"t{n}", done, sealed)) for n in range(2)]
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            rotation.add_kek()
            encryption.rewrap_everywhere(batch=7, report=lambda line: None)
    finally:
        written = process.stdout.read().split()
        done.set()
        for thread in threads:
            thread.join()
    process.stdout.close()
    assert process.wait() == 0
    assert len(written) == 300
    assert len(sealed) > 10

    encryption.rewrap_everywhere(batch=500, report=lambda line: None)
    assert encryption.describe_keys()["to_rewrap"] == 0
    let_old_keks_settle()
    assert len(encryption.drop_old_keks()) == 3
    keys.forget_everything()
    sealed += [(f"person:process-{n}", bytes.fromhex(each)) for n, each in enumerate(written)]
    with tenant_context("acme"):
        for subject, each in sealed:
            opened = services.open_sealed(each, context=PLACE, subject_id=subject)
            assert opened == subject.encode()


def test_keys_destroyed_during_a_rotation_stay_destroyed(acme):
    subjects = [f"person:{number}" for number in range(60)]
    with tenant_context("acme"):
        sealed = [services.seal(each, b"x", context=PLACE) for each in subjects]

    def destroy() -> None:
        try:
            with tenant_context("acme"):
                for subject in subjects[::2]:
                    services.destroy_key(subject, destroyed_by="tests", reason="x", at=NOON)
        finally:
            connections.close_all()

    rotation.add_kek()
    thread = threading.Thread(target=destroy)
    thread.start()
    encryption.rewrap_everywhere(batch=3, report=lambda line: None)
    thread.join()
    encryption.rewrap_everywhere(batch=3, report=lambda line: None)
    keys.forget_everything()
    with tenant_context("acme"):
        opened = [services.open_sealed(each, context=PLACE) for each in sealed]
        assert opened == [None, b"x"] * 30
        assert DataKey.objects.filter(wrapped=None).count() == 30


def test_what_another_process_remembers_ends_with_the_bound(acme):
    with tenant_context("acme"):
        services.seal("person:ada", b"x", context=PLACE)
        services.seal("person:ada", b"x", context=PLACE)
        place = ("acme", "person:ada")
        remembered = CACHE.get(place)
        services.destroy_key("person:ada", destroyed_by="tests", reason="x", at=NOON)
        assert CACHE.get(place) is None  # At once, in the process that destroys.
        # As another process has it: read just now, it works; read so long ago, it does not.
        CACHE.put(place, remembered, read_s=time.monotonic())
        services.seal("person:ada", b"x", context=PLACE)
        CACHE.put(place, remembered, read_s=time.monotonic() - KEEP_S)
        with pytest.raises(SubjectErased):
            services.seal("person:ada", b"x", context=PLACE)
