#!/bin/sh
# Runs once, when the volume of the PostgreSQL container is empty: the two roles and the database, with the same
# rights as the embedded PostgreSQL gives them (aii_site/embedded/postgresql.py).
set -eu

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
