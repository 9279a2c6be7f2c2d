"""The tables of the log, in each schema; those of the global tree in the shared one alone."""

from django.db import migrations, models

TABLES = r"""
CREATE TABLE audit_entry (
    number bigint GENERATED ALWAYS AS IDENTITY,
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    inserted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    action text NOT NULL,
    who_kind text NOT NULL,
    who_id text NOT NULL,
    subject_type text NOT NULL,
    subject_id text NOT NULL,
    actor bytea NOT NULL,
    details bytea NOT NULL,
    actor_digest bytea NOT NULL,
    details_digest bytea NOT NULL,
    -- Lines of the leaf: no line break, no free text, no e-mail address.
    CONSTRAINT audit_entry_plain CHECK (
        kind ~ '^[a-z][a-z0-9-]*$' AND length(kind) <= 32 AND action <> '' AND who_kind <> ''
        AND concat(action, who_kind, who_id, subject_type, subject_id) ~ '^[A-Za-z0-9._:/+-]+$'
        AND greatest(length(action), length(who_kind), length(who_id), length(subject_type), length(subject_id)) <= 200
    ),
    CONSTRAINT audit_entry_digests CHECK (
        octet_length(actor_digest) = 32 AND octet_length(details_digest) = 32
    )
) PARTITION BY RANGE (inserted_at);
CREATE INDEX audit_entry_order ON audit_entry (xact, number);
CREATE INDEX audit_entry_number ON audit_entry (number);
CREATE INDEX audit_entry_time ON audit_entry (inserted_at, number);
CREATE INDEX audit_entry_who ON audit_entry (who_id, inserted_at, number);
CREATE INDEX audit_entry_subject ON audit_entry (subject_id, inserted_at, number);
CREATE INDEX audit_entry_action ON audit_entry (action, inserted_at, number);

CREATE TABLE audit_leaf (
    index bigint PRIMARY KEY,
    number bigint NOT NULL UNIQUE,
    xact xid8 NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE TABLE audit_tile (
    level smallint NOT NULL,
    index bigint NOT NULL,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    hashes bytea NOT NULL CHECK (octet_length(hashes) = 8192),
    PRIMARY KEY (level, index)
);
CREATE TABLE audit_head (
    size bigint PRIMARY KEY,
    made_at timestamptz NOT NULL,
    root bytea NOT NULL,
    note text NOT NULL,
    global_index bigint NOT NULL
);
CREATE INDEX audit_head_made_at ON audit_head (made_at);

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log %.% only grows: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
"""

# In the shared schema: the heads of all tenants as leaves of one tree, its signed heads, their anchors.
GLOBAL_TABLES = r"""
CREATE TABLE audit_global_leaf (
    index bigint PRIMARY KEY,
    tenant text NOT NULL,
    size bigint NOT NULL,
    data text NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    UNIQUE (tenant, size)
);
CREATE TABLE audit_global_tile (LIKE audit_tile INCLUDING ALL);
CREATE TABLE audit_checkpoint (
    size bigint PRIMARY KEY,
    made_at timestamptz NOT NULL,
    root bytea NOT NULL,
    note text NOT NULL
);
CREATE TABLE audit_anchor (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    anchored_at timestamptz NOT NULL,
    size bigint NOT NULL,
    means text NOT NULL,
    token bytea NOT NULL
);
""" + "".join(
    # Hashes and sizes of the whole are for everybody who may read the table (audit.fences).
    f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
    f"CREATE POLICY for_all ON {table} USING (true) WITH CHECK (true);"
    for table in ("audit_global_leaf", "audit_global_tile", "audit_checkpoint", "audit_anchor")
)

# Months are named in UTC. Statement triggers are not inherited, so each partition gets its own.
PARTITIONS = r"""
CREATE FUNCTION audit_make_partitions(months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = SCHEMA, pg_temp
SET lock_timeout = '2s'
SET timezone = 'UTC'
AS $$
DECLARE
    month timestamp;
    partition text;
    made integer := 0;
BEGIN
    FOR step IN 0..months LOOP
        month := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => step);
        partition := 'audit_entry_' || to_char(month, 'YYYY_MM');
        IF to_regclass(format('%I.%I', current_schema(), partition)) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF audit_entry FOR VALUES FROM (%L) TO (%L)',
                partition, month::text || '+00', (month + interval '1 month')::text || '+00'
            );
            EXECUTE format(
                'CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON %I'
                ' FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()',
                partition
            );
            made := made + 1;
        END IF;
    END LOOP;
    -- Does nothing before the tables have been given to their owner (audit.fences).
    IF to_regprocedure('aii_fence.close(text)') IS NOT NULL THEN
        PERFORM aii_fence.close(current_schema());
    END IF;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION audit_make_partitions(integer) FROM PUBLIC;
SELECT audit_make_partitions(3);
"""

TRIGGER = (
    "CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {}"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
)


def make_tables(apps, schema_editor):
    schema = schema_editor.connection.schema_name
    is_shared = schema == "public"
    schema_editor.execute(TABLES + (GLOBAL_TABLES if is_shared else ""), params=None)
    names = ["audit_entry", "audit_leaf", "audit_tile", "audit_head"]
    if is_shared:
        names += ["audit_global_leaf", "audit_global_tile", "audit_checkpoint", "audit_anchor"]
    for name in names:
        schema_editor.execute(TRIGGER.format(name), params=None)
    schema_editor.execute(PARTITIONS.replace("SCHEMA", schema_editor.quote_name(schema), 1), params=None)


class Migration(migrations.Migration):
    initial = True

    operations = [
        # There is no way back: the log only grows.
        migrations.RunPython(make_tables),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("xact", models.TextField()),
                ("inserted_at", models.DateTimeField()),
                ("id", models.UUIDField()),
                ("at", models.DateTimeField()),
                ("kind", models.TextField()),
                ("action", models.TextField()),
                ("who_kind", models.TextField()),
                ("who_id", models.TextField()),
                ("subject_type", models.TextField()),
                ("subject_id", models.TextField()),
                ("actor", models.BinaryField()),
                ("details", models.BinaryField()),
                ("actor_digest", models.BinaryField()),
                ("details_digest", models.BinaryField()),
            ],
            options={"db_table": "audit_entry", "managed": False, "ordering": ["-number"]},
        ),
    ]
