"""Keys and content are in no error page, log or settings; a missing KEK is refused."""

from __future__ import annotations

import logging
import sys

import pytest
from django.core.checks import run_checks
from django.views.debug import ExceptionReporter

from audit.encryption import keyring, keys, services
from audit.encryption.errors import EncryptionError, KekUnusable
from audit.encryption.models import DataKey

ADA = "person:ada"
MARKER = "the-marker-of-this-test"


def error_page(action) -> str:
    try:
        action()
    except Exception:
        kind, error, traceback = sys.exc_info()
        # The frames of this file hold the secrets, of course.
        while traceback.tb_frame.f_code.co_filename == __file__:
            traceback = traceback.tb_next
        error.__traceback__ = traceback
        return ExceptionReporter(None, kind, error, traceback).get_traceback_html()
    raise AssertionError("nothing was raised")


@pytest.fixture
def configure(monkeypatch):
    """Set the KEK settings of this process."""

    def set_(**environment: str) -> None:
        for name in (*keyring.SETTINGS, "AII_KEK_WRAPPED"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        keys.forget_everything()

    return set_


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.django_db
@pytest.mark.usefixtures("in_acme")
class TestErrorPages:
    def test_of_a_key_that_cannot_be_read_shows_no_key(self, configure, settings, debug):
        settings.DEBUG = debug
        good = keyring.new_key_text()
        configure(AII_KEK=f"{good} broken-{MARKER}")
        page = error_page(lambda: services.seal(ADA, b"x", context="a|b"))
        assert "Key 2 of AII_KEK" in page
        assert good not in page
        assert MARKER not in page

    def test_of_two_sources_shows_no_key(self, configure, settings, debug):
        settings.DEBUG = debug
        good = keyring.new_key_text()
        configure(AII_KEK=good, AII_KEK_FILE="/nowhere")
        page = error_page(lambda: services.seal(ADA, b"x", context="a|b"))
        assert "not both" in page
        assert good not in page

    def test_of_a_key_that_is_gone_shows_neither_keys_nor_content(self, configure, settings, debug):
        settings.DEBUG = debug
        one, two = keyring.new_key_text(), keyring.new_key_text()
        configure(AII_KEK=one)
        sealed = services.seal(ADA, MARKER.encode(), context="a|b")
        configure(AII_KEK=two)
        for action in (
            lambda: services.open_sealed(sealed, context="a|b"),
            lambda: services.rotate_kek(),
        ):
            page = error_page(action)
            assert "is not among the configured keys" in page
            assert one not in page and two not in page and MARKER not in page


@pytest.mark.django_db
@pytest.mark.usefixtures("in_acme")
def test_outside_development_an_error_page_shows_no_content(settings):
    settings.DEBUG = False
    page = error_page(lambda: services.seal("no pseudonym", MARKER.encode(), context="a|b"))
    assert "pseudonym" in page
    assert MARKER not in page


@pytest.mark.django_db
@pytest.mark.usefixtures("in_acme")
def test_a_whole_life_logs_no_key_and_no_content(configure, caplog):
    caplog.set_level(logging.DEBUG)
    one, two = keyring.new_key_text(), keyring.new_key_text()
    configure(AII_KEK=one)
    sealed = services.seal(ADA, MARKER.encode(), context="a|b")
    configure(AII_KEK=f"{two},{one}")
    assert services.rotate_kek() == 1
    assert services.open_sealed(sealed, context="a|b") == MARKER.encode()
    said = caplog.text + repr(vars(keys)) + repr(DataKey.objects.get()) + repr(keys.keyring().get())
    assert one not in said and two not in said and MARKER not in said


def encryption_errors() -> list[str]:
    found = run_checks(include_deployment_checks=True)
    return [problem.msg for problem in found if problem.id == "encryption.E001"]


def test_a_deployment_without_a_usable_kek_is_refused(configure, settings, tmp_path):
    assert encryption_errors() == []
    settings.AII_HOME = tmp_path
    configure()
    assert "No key-encryption key" in encryption_errors()[0]
    configure(AII_KEK="short")
    assert "32 random bytes" in encryption_errors()[0]
    configure(AII_KEK=keyring.new_key_text())
    assert encryption_errors() == []


def test_no_setting_of_django_holds_a_kek(configure):
    from django.conf import settings

    configure(AII_KEK=keyring.new_key_text())
    assert not [name for name in dir(settings) if "KEK" in name]
    assert issubclass(KekUnusable, EncryptionError)
