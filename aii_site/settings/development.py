"""Development and `make up`: one machine, plain HTTP on loopback."""

from aii_site.settings.base import *  # noqa: F403
from aii_site.settings.base import AII_PORT

DEBUG = True
AII_HAS_DEMO = True
# Cookies know no ports: two checkouts side by side would sign each other out.
SESSION_COOKIE_NAME = f"aii-session-{AII_PORT}"
CSRF_COOKIE_NAME = f"aii-csrf-{AII_PORT}"
# Identity providers to try things out with.
AII_INNER_IDP_HOSTS = frozenset({"localhost", "127.0.0.1"})
# Messages go to the log of the web process.
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
# Static files straight from their folders: nothing to collect.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
