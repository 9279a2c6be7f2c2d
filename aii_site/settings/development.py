"""Development and `make up`: one machine, plain HTTP on loopback."""

from aii_site.settings.base import *  # noqa: F403

DEBUG = True
# Messages go to the log of the web process.
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
# Static files straight from their folders: nothing to collect.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
