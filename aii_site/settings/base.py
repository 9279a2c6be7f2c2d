"""Settings that hold everywhere. What differs by machine comes from the environment."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONCE, SELF

from aii_site import embedded
from aii_site.environment import is_given, parse_database_url, read_secret

BASE_DIR = Path(__file__).resolve().parent.parent.parent
AII_HOME = embedded.default_home()
AII_PORT = int(os.environ.get("AII_PORT", "8000"))
# Tenants answer at <slug>.<this>, unless provisioned with a host of their own.
AII_BASE_HOST = os.environ.get("AII_BASE_HOST", "localhost")
# web, worker, scheduler, collector, reporter, sequencer or command.
AII_PROCESS = os.environ.get("AII_PROCESS", "command")
AII_CHECK_SESSION_EVERY_S = 60
# Whoever may do more than look is signed out after so long without doing anything.
AII_IDLE_MINUTES = float(os.environ.get("AII_IDLE_MINUTES", "30"))
# Proxies in front of us that append to X-Forwarded-For; what others wrote there is not believed.
AII_TRUSTED_PROXIES = int(os.environ.get("AII_TRUSTED_PROXIES", "0"))
# A folder of files named by the first five digits of a SHA-1, or an https address that answers so.
AII_BREACHED_PASSWORDS = os.environ.get("AII_BREACHED_PASSWORDS", "")
# Which keys were destroyed, outside the database and its backups.
AII_ERASURE_LIST = Path(os.environ.get("AII_ERASURE_LIST") or AII_HOME / "erasures.jsonl")
# Processes that a large run is shared out among; the result does not depend on it.
AII_RUN_WORKERS = max(1, int(os.environ.get("AII_RUN_WORKERS", "1")))
# The most that a run may ask for.
AII_RUN_WORKERS_MAX = max(
    AII_RUN_WORKERS, int(os.environ.get("AII_RUN_WORKERS_MAX") or os.cpu_count() or 1)
)
# The audit across tenants: the file with the key that decrypts sums (default: in the home), and how
# many seconds apart its rounds are (0: only by manage.py global_audit).
AII_TOTALS_KEY_FILE = os.environ.get("AII_TOTALS_KEY_FILE", "")
AII_TOTALS_EVERY_S = max(0.0, float(os.environ.get("AII_TOTALS_EVERY_S", "3600")))

# The audit log: its name in signed heads, the file of its key (log-key.json in AII_HOME), that of
# its public keys (log-keys.json beside it), and who else is told of its heads.
AII_LOG_NAME = os.environ.get("AII_LOG_NAME") or f"{AII_BASE_HOST}/log"
AII_LOG_KEY_FILE = os.environ.get("AII_LOG_KEY_FILE", "")
AII_LOG_PUBLIC_FILE = os.environ.get("AII_LOG_PUBLIC_FILE", "")
AII_LOG_ANCHOR_URL = os.environ.get("AII_LOG_ANCHOR_URL", "")
AII_LOG_TSA_ROOTS = os.environ.get("AII_LOG_TSA_ROOTS", "")
AII_LOG_TSA_URL = os.environ.get("AII_LOG_TSA_URL", "")

# What a running embedded installation wrote down. Not read beside a DATABASE_URL: the web server of
# `make up` must not find the owner's password there, and two installations must not be mixed.
_runtime = {} if is_given("DATABASE_URL") else embedded.runtime_environment()


def _setting(name: str, default: str = "") -> str:
    return read_secret(name) or _runtime.get(name, default)


SECRET_KEY = _setting("SECRET_KEY")
DATABASE_URL = _setting("DATABASE_URL", "postgresql://aii_app@127.0.0.1:5432/aii")
DATABASE_OWNER_URL = _setting("DATABASE_OWNER_URL")
REDIS_URL = _setting("REDIS_URL", "redis://127.0.0.1:6379/0")

# With one URL for all, migrations and the application share a role (manage.py check --deploy
# warns).
if not DATABASE_OWNER_URL and AII_PROCESS == "command":
    DATABASE_OWNER_URL = DATABASE_URL

_POOL = {"min_size": 1, "max_size": 16, "timeout": 3, "reconnect_timeout": 5, "max_idle": 60}


def _database(url: str, *, is_owner: bool) -> dict[str, Any]:
    # Web threads live for one request each, so only a pool keeps connections; task processes keep
    # their own.
    pooled = AII_PROCESS == "web" and not is_owner
    return {
        **parse_database_url(url),
        "ENGINE": "tenants.postgresql",
        "TENANT_ROLES": not is_owner,
        "CONN_MAX_AGE": 0 if pooled or is_owner else None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 2,
            "application_name": f"aii-{AII_PROCESS}",
            **({"pool": _POOL} if pooled else {}),
        },
    }


DATABASES = {"default": _database(DATABASE_URL, is_owner=False)}
if DATABASE_OWNER_URL:
    DATABASES["owner"] = _database(DATABASE_OWNER_URL, is_owner=True)
# Copies the template schema for a new tenant; without it the migrations run (tenants.cloning).
AII_PG_DUMP = shutil.which("pg_dump", path=str(embedded.bin_dir())) or shutil.which("pg_dump")
TENANT_DB_ALIAS = "owner" if DATABASE_OWNER_URL else "default"
DATABASE_ROUTERS = ["tenants.router.SchemaRouter"]
TENANT_SYNC_ROUTER = "tenants.router.SchemaRouter"
TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"

SHARED_APPS = [
    "aii_site",
    # Before django_tenants: our migrate command takes the place of its own.
    "tenants",
    "django_tenants",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    # For its protocols; its tables are not made (MIGRATION_MODULES).
    "allauth.socialaccount",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_cotton",
    "django_htmx",
    "csp",
    "audit",
    "audit.encryption",
    "monitoring.totals",
]
# Sessions are a tenant's own: a session key of one host means nothing on another. So are the wrong
# passwords that axes counts.
TENANT_APPS = [
    "tenants.sessions",
    "axes",
    "audit",
    "audit.encryption",
    "tenants.approvals",
    "tenants.single_sign_on",
    "tenants.second_roles",
    "monitoring",
    "simulation",
    "business",
    "business.scenarios",
    "business.roadmap",
    "business.cases",
]
INSTALLED_APPS = list(dict.fromkeys([*SHARED_APPS, *TENANT_APPS]))

MIDDLEWARE = [
    "aii_site.headers.HeadersMiddleware",
    "aii_site.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "tenants.middleware.TenantMiddleware",
    "tenants.journal.OriginMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "tenants.middleware.MemberMiddleware",
    "tenants.sessions.middleware.IdleMiddleware",
    "tenants.rate_limits.RateLimitMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "tenants.second_factors.middleware.AccountPagesMiddleware",
    # Last: it puts its own answer in the place of the form's when somebody is locked out.
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "aii_site.urls"
ASGI_APPLICATION = "aii_site.asgi.application"
# Any host name may ask; TenantMiddleware answers 404 to one that no tenant has.
ALLOWED_HOSTS = ["*"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django_cotton.cotton_loader.Loader",
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "builtins": ["django_cotton.templatetags.cotton", "django.templatetags.static"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "tenants.context_processors.tenancy",
                "tenants.approvals.context_processors.approvals",
                "monitoring.context_processors.alerts",
            ],
        },
    }
]
COTTON_DIR = "cotton"

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = [
    # Refuses whoever is locked out, and signs nobody in.
    "axes.backends.AxesStandaloneBackend",
    "tenants.accounts.MemberBackend",
]
# The first one hashes; the others still verify old hashes, which are made anew at the next sign-in.
PASSWORD_HASHERS = [
    "tenants.passwords.Argon2",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "tenants.passwords.BreachedPasswordValidator"},
]
# Without a mail server of one's own an invitation is shown to whoever invites, and not sent.
EMAIL_HOST = os.environ.get("EMAIL_HOST", "localhost")
EMAIL_PORT = int(os.environ.get("EMAIL_PORT", "25"))
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = _setting("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = os.environ.get("EMAIL_USE_TLS", "") == "1"
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL = os.environ.get("EMAIL_FROM", f"aii@{AII_BASE_HOST}")
AII_SENDS_MAIL = "EMAIL_HOST" in os.environ
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "tenants.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = None
# How long a proof is fresh enough for an act that wants to be confirmed.
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600

SOCIALACCOUNT_ADAPTER = "tenants.single_sign_on.adapter.SocialAccountAdapter"
# Which account at a provider is which member stands in the tenant's own schema.
MIGRATION_MODULES = {"socialaccount": None}
# Host names of identity providers inside one's own network: those alone may have private addresses
# and speak plain HTTP.
AII_INNER_IDP_HOSTS = frozenset(os.environ.get("AII_INNER_IDP_HOSTS", "").lower().split())

MFA_ADAPTER = "tenants.second_factors.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "authenticate": "tenants.second_factors.forms.Authenticate",
    "reauthenticate": "tenants.second_factors.forms.Reauthenticate",
    "activate_totp": "tenants.second_factors.forms.ActivateTOTP",
}
MFA_TOTP_ISSUER = "AII"
MFA_PASSKEY_LOGIN_ENABLED = True
# A passkey is something one has and, unlocked by finger, face or PIN, something one is or knows.
MFA_WEBAUTHN_USER_VERIFICATION = "required"
MFA_RECOVERY_CODES_SHOW_ONCE = True
# Demo people, whose codes manage.py demo_code prints; never in production.
AII_HAS_DEMO = False

# Five wrong passwords for one name from one address, and a pause of a quarter of an hour: by the
# address alone an office locks itself out, by the name alone a stranger locks anybody out.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_CALLABLE = "tenants.lockout.name_of"
AXES_CLIENT_IP_CALLABLE = "tenants.origin.client_ip"
AXES_LOCKOUT_CALLABLE = "tenants.lockout.locked_out_response"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "login", "email"]
# The audit log says who signed in.
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False

SESSION_ENGINE = "tenants.sessions.store"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 24 * 3600
CSRF_COOKIE_SAMESITE = "Lax"
# Pages carry the token in a form or a header of their own; no script reads the cookie.
CSRF_COOKIE_HTTPONLY = True
# In the tenant's session, not in a cookie that one signing key makes good on every host.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_FAILURE_VIEW = "aii_site.errors.csrf_failure"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "base-uri": ["'none'"],
        "form-action": [SELF],
        "frame-ancestors": ["'none'"],
    }
}

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_FUNCTION": "tenants.cache.tenant_cache_key",
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
WHITENOISE_ALLOW_ALL_ORIGINS = False
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "aii_site.storage.AppFinder",
]
# What a request may carry. The body is cut off at the door (aii_site.body_limit), files included.
AII_BODY_BYTES_MAX = 8 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
# The form of an ROI scenario has eleven fields for each of its numbers.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 5

# How often somebody may ask: class -> (at once, a minute, while Redis is away). For each person or
# API key of a tenant, for strangers each address. docs/reference/settings.md explains the classes.
RATE_LIMITS = {
    "read": (300, 1200, "open"),
    "write": (60, 120, "open"),
    "live": (600, 3000, "open"),
    "export": (20, 30, "open"),
    "api": (300, 600, "open"),
    "socket": (60, 120, "open"),
    "stranger": (120, 240, "open"),
    "sign_in": (30, 60, "closed"),
    # Refused sockets that a tenant's log takes in; the rest are refused all the same.
    "refusal": (10, 6, "closed"),
}
# A Redis that takes longer to count is taken to be away.
RATE_LIMIT_ANSWER_S = 0.3

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "platform"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A run may compute for hours; a shorter time-out delivered a 215 s task three times. Rows make
# delivery idempotent.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 24 * 3600,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "socket_timeout": None,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # axes writes a line for each wrong password, with the name in it.
    "loggers": {"psycopg.pool": {"level": "ERROR"}, "axes": {"level": "ERROR"}},
}
