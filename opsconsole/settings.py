"""Django settings. Everything that differs between installations comes from ``config.py``."""

from functools import partial
from urllib.parse import unquote, urlsplit

from environments.secrets import resolve
from opsconsole.config import LOOPBACK_HOSTS, ROOT, load

CONFIG = load()
BASE_DIR = ROOT

SECRET_KEY = CONFIG.secret_key
SECRET_KEY_FALLBACKS = CONFIG.secret_key_fallbacks
DEBUG = CONFIG.debug
ALLOWED_HOSTS = CONFIG.allowed_hosts
ROOT_URLCONF = "opsconsole.urls"
ASGI_APPLICATION = "opsconsole.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
DEMO = False

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "guardian",
    "rest_framework",
    "drf_spectacular",
    "django_htmx",
    "django_prometheus",
    "audit",
    "accounts",
    "environments",
    "alerts",
    "trading",
    "runbooks",
    "deployments",
    "opsconsole",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "opsconsole.middleware.content_security_policy",
    "audit.middleware.request_id",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.denials.recorded",
    "accounts.key_headers.key_expires_at",
    "accounts.middleware.sign_in_required",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "opsconsole.context.frame",
            ],
            "builtins": ["lucide.templatetags.lucide", "opsconsole.templatetags.opsconsole"],
            "loaders": [("django.template.loaders.cached.Loader", ["django.template.loaders.filesystem.Loader"])],
        },
    }
]

# --- Postgres: the truth -------------------------------------------------------------------------------------
_database = urlsplit(CONFIG.database_url)
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path.lstrip("/"),
        "USER": unquote(_database.username or ""),
        "PASSWORD": unquote(_database.password or ""),
        "HOST": _database.hostname or "",
        "PORT": _database.port or 5432,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 3,
            "options": "-c statement_timeout=15000 -c idle_in_transaction_session_timeout=15000",
            "pool": {"min_size": 1, "max_size": 10, "timeout": 5},
        },
    }
}

# --- Valkey: a doorbell. Every wait on it is bounded, so that its death costs at most a second --------------------
CELERY_BROKER_URL = CONFIG.redis_url
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 0.5,
    "socket_connect_timeout": 0.5,
    "retry_on_timeout": False,
    "visibility_timeout": 60,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    "ring-due": {"task": "deployments.tasks.ring_due", "schedule": 2.0, "options": {"expires": 2}},
    "remind-of-due-keys": {"task": "accounts.tasks.remind_of_due_keys", "schedule": 3600.0},
    "prune-sign-ins": {"task": "accounts.tasks.prune_sign_ins", "schedule": 3600.0},
    "prune-samples": {"task": "environments.tasks.prune_samples", "schedule": 60.0},
    "repeat-alerts": {"task": "alerts.tasks.repeat", "schedule": 30.0, "options": {"expires": 30}},
    "alert-of-due-keys": {"task": "alerts.tasks.remind_of_keys", "schedule": 600.0, "options": {"expires": 600}},
    "check-positions": {"task": "trading.tasks.check_positions", "schedule": 60.0, "options": {"expires": 50}},
    "look-at-databases": {
        "task": "trading.database_tasks.look_at_databases",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "look-at-checklists": {
        "task": "runbooks.tasks.look_at_checklists",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "prune-comparisons": {"task": "trading.tasks.prune_comparisons", "schedule": 3600.0},
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [{"address": CONFIG.redis_url, "socket_timeout": 0.5, "socket_connect_timeout": 0.5}],
        },
    }
}

# --- People -------------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "guardian.backends.ObjectPermissionBackend"]
ANONYMOUS_USER_NAME = None
GUARDIAN_RAISE_403 = True
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CONFIG.https
SESSION_COOKIE_AGE = 12 * 3600
OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_LABEL = CONFIG.oidc_issuer, CONFIG.oidc_client_id, CONFIG.oidc_label
OIDC_CLIENT_SECRET = partial(resolve, CONFIG.oidc_client_secret) if CONFIG.oidc_client_secret else None
OIDC_USERNAME_CLAIM, OIDC_STRONG_AMR = CONFIG.oidc_username_claim, CONFIG.oidc_strong_amr

# --- The audit trail: its signatures and their copy are kept outside the database ------------------------------------
AUDIT_SIGNING_KEY = CONFIG.audit_signing_key or CONFIG.var / "audit" / "signing_key.pem"
AUDIT_CHECKPOINTS = CONFIG.audit_checkpoints or CONFIG.var / "audit" / "checkpoints.jsonl"
AUDIT_COPY_COMMAND = CONFIG.audit_copy_command

ALERT_CHANNELS = CONFIG.alert_channels

# --- What a browser may do ------------------------------------------------------------------------------------
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = CONFIG.https
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]
CSRF_FAILURE_VIEW = "opsconsole.errors_views.csrf_failed"
SECURE_HSTS_SECONDS = 31_536_000 if CONFIG.https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = CONFIG.https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if CONFIG.https else None

STATIC_URL = "/static/"
STATIC_ROOT = CONFIG.var / "static"
STATICFILES_DIRS = [ROOT / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "opsconsole.staticfiles.PackageFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# --- The API ------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.ActionPermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "opsconsole.api.Pagination",
    "EXCEPTION_HANDLER": "opsconsole.api.problem",
    "PAGE_SIZE": 50,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "OpsConsole API",
    "VERSION": "1",
    "DESCRIPTION": "Deploy, watch, roll back and stop an automated trading system.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"()": "opsconsole.logs.Formatter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain"},
        "nowhere": {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["console"], "level": CONFIG.log_level},
    "loggers": {
        "django.server": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        # What Apprise and the library below it say may hold the address of a channel, and that is a secret.
        "apprise": {"handlers": ["nowhere"], "propagate": False},
        "urllib3": {"level": "ERROR"},
        "uvicorn.access": {"level": "WARNING"},
    },
}

OPSC_STOPS = CONFIG.var / "stops"
"""Of each environment: the kill switch's latch, snapshot and journals (trading/stop_files.py)."""
OPSC_RUNBOOKS = CONFIG.runbooks
"""Folders of runbooks beside those that come with the console (runbooks/library.py)."""
OPSC_ORIGIN = CONFIG.public_origin
OPSC_IS_LOOPBACK = CONFIG.host in LOOPBACK_HOSTS and set(ALLOWED_HOSTS) <= LOOPBACK_HOSTS
