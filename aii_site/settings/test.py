"""Tests: as development, with cheap passwords and mail kept in memory."""

from aii_site.settings.base import *  # noqa: F403

DEBUG = False
SECRET_KEY = "only-for-tests"  # noqa: S105
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
ACCOUNT_RATE_LIMITS = False
# Counted as always, but one test may ask as often as many people do.
RATE_LIMITS = {name: (100_000, 100_000, away) for name, (_, _, away) in RATE_LIMITS.items()}  # noqa: F405
# Redis shares two cores with everything that a test run starts.
RATE_LIMIT_ANSWER_S = 10
# The identity providers of the tests.
AII_INNER_IDP_HOSTS = frozenset({"127.0.0.1"})
# Static files straight from their folders: nothing to collect.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
