#!/bin/sh
# Runs once, when the volume of the PostgreSQL container is empty: the two roles and the database, with the same
# rights as the embedded PostgreSQL gives them (aii_site/embedded/postgresql.py).
set -eu

# Each password may lie in a file in place of the environment, as the image's own POSTGRES_PASSWORD_FILE.
for name in AII_OWNER_PASSWORD AII_APP_PASSWORD; do
    eval "file=\${${name}_FILE:-} value=\${${name}:-}"
    if [ -n "$file" ] && [ -n "$value" ]; then
        echo "Set $name or ${name}_FILE, not both." >&2
        exit 1
    fi
    [ -z "$file" ] || eval "$name=\$(cat \"\$file\")"
done

: "${AII_OWNER_PASSWORD:?Set AII_OWNER_PASSWORD}" "${AII_APP_PASSWORD:?Set AII_APP_PASSWORD}"

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set owner_password="$AII_OWNER_PASSWORD" --set app_password="$AII_APP_PASSWORD" <<'SQL'
CREATE ROLE aii_owner LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE ROLE aii_app LOGIN NOINHERIT NOSUPERUSER PASSWORD :'app_password';
CREATE DATABASE aii OWNER aii_owner;
REVOKE ALL ON DATABASE aii FROM PUBLIC;
GRANT CONNECT ON DATABASE aii TO aii_app;
SQL
# The event triggers that guard the audit log: only a superuser can make them.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname aii \
    --file "${AII_FENCE:-/aii/fence.sql}"
