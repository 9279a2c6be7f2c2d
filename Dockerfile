# syntax=docker/dockerfile:1
# One image for every process of the platform: the command chooses which (docker-compose.yml).

FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# The locks alone first: the packages are installed again only when a lock changes.
COPY scripts/uv.lock requirements.production.lock ./
RUN pip install --require-hashes --requirement uv.lock \
    && uv venv --python /usr/local/bin/python3 /opt/venv \
    && uv pip sync --python /opt/venv/bin/python --require-hashes --compile-bytecode requirements.production.lock

COPY . .
# The key is made up on the spot and not kept: collecting files signs nothing.
RUN DJANGO_SETTINGS_MODULE=aii_site.settings.production \
    SECRET_KEY="$(/opt/venv/bin/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
    /opt/venv/bin/python manage.py collectstatic --noinput


FROM python:3.11-slim-bookworm AS run

# A fixed number, so that volumes and a cluster's security contexts can name it.
RUN groupadd --system --gid 10001 aii \
    && useradd --system --uid 10001 --gid aii --home-dir /var/lib/aii --no-create-home \
        --shell /usr/sbin/nologin aii \
    && install --directory --owner aii --group aii --mode 0700 \
        /var/lib/aii /var/lib/aii/numba /var/lib/aii/keys /var/lib/aii-log-key

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=aii_site.settings.production \
    AII_HOME=/var/lib/aii \
    NUMBA_CACHE_DIR=/var/lib/aii/numba
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
# Owned by root: a process that is taken over cannot rewrite its own code.
COPY --from=build /app /app

USER aii
EXPOSE 8000
# The web server's; docker-compose.yml gives the other processes theirs.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8000/healthz', headers={'X-Forwarded-Proto': 'https'}), timeout=4)"]

CMD ["uvicorn", "aii_site.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--ws", "websockets-sansio", "--ws-max-size", "4096", "--no-server-header"]
