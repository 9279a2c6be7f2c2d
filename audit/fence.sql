-- The fence that the owner of the tables cannot take down: event triggers that belong to the superuser.
-- Run as a superuser in AII's database, before the first `manage.py migrate`; safe to run again. `make up` does it by itself.
-- The fenced tables are those of the role aii_audit, from the moment that aii_fence.close(schema) has been called.
-- Whoever must change them all the same (a superuser) says so: SET event_triggers = off; SET session_replication_role = replica.

CREATE SCHEMA IF NOT EXISTS aii_fence;
GRANT USAGE ON SCHEMA aii_fence TO PUBLIC;
CREATE TABLE IF NOT EXISTS aii_fence.closed (id oid PRIMARY KEY);

CREATE OR REPLACE FUNCTION aii_fence.close(schema_name text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO aii_fence.closed
    SELECT found.id
    FROM pg_namespace n
    JOIN pg_roles r ON r.rolname = 'aii_audit'
    CROSS JOIN LATERAL (
        SELECT c.oid AS id FROM pg_class c WHERE c.relnamespace = n.oid AND c.relowner = r.oid
        UNION ALL
        SELECT p.oid FROM pg_proc p WHERE p.pronamespace = n.oid AND p.proowner = r.oid
        UNION ALL
        SELECT n.oid WHERE n.nspname <> 'public'
    ) found
    WHERE n.nspname = schema_name
      AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relowner = r.oid)
    ON CONFLICT DO NOTHING
$$;

CREATE OR REPLACE FUNCTION aii_fence.refuse_change() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    command record;
    touched oid;
BEGIN
    FOR command IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
        touched := command.objid;
        IF command.classid = 'pg_trigger'::regclass THEN
            SELECT tgrelid INTO touched FROM pg_trigger WHERE oid = command.objid;
        ELSIF command.classid = 'pg_rewrite'::regclass THEN
            SELECT ev_class INTO touched FROM pg_rewrite WHERE oid = command.objid;
        ELSIF command.classid = 'pg_policy'::regclass THEN
            SELECT polrelid INTO touched FROM pg_policy WHERE oid = command.objid;
        END IF;
        IF EXISTS (SELECT FROM aii_fence.closed WHERE id = touched) THEN
            RAISE EXCEPTION 'the log only grows: % of % is refused', tg_tag, command.object_identity
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION aii_fence.refuse_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped record;
BEGIN
    FOR dropped IN SELECT * FROM pg_event_trigger_dropped_objects() LOOP
        IF EXISTS (SELECT FROM aii_fence.closed WHERE id = dropped.objid)
            OR dropped.object_type IN ('trigger', 'rule', 'policy') AND EXISTS (
                SELECT FROM aii_fence.closed
                WHERE id = to_regclass(format('%I.%I', dropped.address_names[1], dropped.address_names[2]))
            )
        THEN
            RAISE EXCEPTION 'the log only grows: % of % is refused', tg_tag, dropped.object_identity
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
END
$$;

DROP EVENT TRIGGER IF EXISTS aii_fence_change;
CREATE EVENT TRIGGER aii_fence_change ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE', 'ALTER INDEX', 'ALTER SEQUENCE', 'ALTER SCHEMA', 'ALTER TRIGGER', 'ALTER RULE', 'ALTER POLICY',
                 'ALTER FUNCTION', 'ALTER ROUTINE', 'CREATE FUNCTION', 'CREATE TRIGGER', 'CREATE RULE', 'CREATE POLICY')
    EXECUTE FUNCTION aii_fence.refuse_change();
DROP EVENT TRIGGER IF EXISTS aii_fence_drop;
CREATE EVENT TRIGGER aii_fence_drop ON sql_drop EXECUTE FUNCTION aii_fence.refuse_drop();
