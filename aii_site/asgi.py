"""One ASGI application, served by daphne in development and by uvicorn in production."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aii_site.settings.development")
http = get_asgi_application()

# After the applications are loaded: these import models.
from aii_site.body_limit import BodyLimit  # noqa: E402
from aii_site.handshake import RefusedHandshakes  # noqa: E402
from aii_site.routing import websocket_urlpatterns  # noqa: E402
from monitoring import heartbeat  # noqa: E402
from simulation import warm_up  # noqa: E402
from tenants.websocket import TenantScope  # noqa: E402

heartbeat.start_for_web()
warm_up.measure_for_web()

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(http, settings.AII_BODY_BYTES_MAX),
        "websocket": RefusedHandshakes(TenantScope(URLRouter(websocket_urlpatterns))),
    }
)
