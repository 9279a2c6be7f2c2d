"""Production: behind a proxy that ends TLS, secrets from the environment or from files."""

from aii_site.environment import BadSetting
from aii_site.settings.base import *  # noqa: F403
from aii_site.settings.base import SECRET_KEY

DEBUG = False
if not SECRET_KEY:
    raise BadSetting("Set SECRET_KEY or SECRET_KEY_FILE to a long random text.")

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_NAME = "__Host-aii-session"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_NAME = "__Host-aii-csrf"

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "aii_site.storage.ManifestStaticFilesStorage"},
}
