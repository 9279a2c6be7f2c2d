"""What the database itself does for memberships, as SQL that can be run again.

A membership opens a person's account to a tenant: through it the tenant's role sees the row with
the password's hash. So no tenant's role may add one. Joining is a function that runs as the owner
of the tables (SECURITY DEFINER) and that only the application may call, outside every tenant. It
takes the code of an invitation, and:

- a person without an account gets one, with the password's hash that is given;
- a person with an account keeps their password; whether they proved it is what the caller says,
  after comparing with the hash that the other function returns. That one counts how often it is
  asked, so that a code is no key to guess somebody's password with.

Single sign-on may add a member, too, and only one without any account: it has no password, and no
row of another tenant's person is opened by it (``tenants.single_sign_on.admission``).

A trigger keeps a tenant from losing its last owner, whoever asks.
"""

from __future__ import annotations

# Rows are locked by the tenant: of two owners who demote each other at once, one is refused.
KEEP_AN_OWNER = """
CREATE OR REPLACE FUNCTION public.aii_keep_an_owner() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.role <> 'OWNER' OR (TG_OP = 'UPDATE' AND NEW.role = 'OWNER') THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM public.tenants_tenant WHERE id = OLD.tenant_id FOR UPDATE;
    IF FOUND AND NOT EXISTS (
        SELECT 1 FROM public.tenants_membership WHERE tenant_id = OLD.tenant_id AND role = 'OWNER'
    ) THEN
        RAISE EXCEPTION 'a tenant keeps an owner' USING ERRCODE = 'AI001';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS keep_an_owner ON public.tenants_membership;
CREATE TRIGGER keep_an_owner AFTER UPDATE OF role OR DELETE ON public.tenants_membership
    FOR EACH ROW EXECUTE FUNCTION public.aii_keep_an_owner();
"""

TRY_INVITATION = """
CREATE OR REPLACE FUNCTION public.aii_try_invitation(
    p_code_sha256 text, p_tenant_id bigint, p_at timestamptz
) RETURNS TABLE (email text, password text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        UPDATE public.tenants_invitation i SET tries = i.tries
            + (SELECT count(*) FROM public.tenants_user u WHERE u.email = i.email)::int
        WHERE i.code_sha256 = p_code_sha256 AND i.tenant_id = p_tenant_id AND i.expires_at > p_at
            AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL AND i.tries < 10
        RETURNING i.email::text,
            (SELECT u.password::text FROM public.tenants_user u WHERE u.email = i.email);
END $$;
"""

ACCEPT_INVITATION = """
CREATE OR REPLACE FUNCTION public.aii_accept_invitation(
    p_code_sha256 text, p_tenant_id bigint, p_at timestamptz,
    p_is_proven boolean, p_password text, p_name text
) RETURNS TABLE (user_id uuid, email text, role text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    invited public.tenants_invitation;
    person public.tenants_user;
BEGIN
    SELECT * INTO invited FROM public.tenants_invitation i
        WHERE i.code_sha256 = p_code_sha256 AND i.tenant_id = p_tenant_id AND i.expires_at > p_at
            AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL
        FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO person FROM public.tenants_user u WHERE u.email = invited.email;
    IF FOUND <> p_is_proven OR (FOUND AND NOT person.is_active) THEN
        RETURN;
    END IF;
    IF NOT FOUND THEN
        INSERT INTO public.tenants_user
            (id, email, name, password, is_active, joined_at, session_epoch)
        VALUES (gen_random_uuid(), invited.email, p_name, p_password, true, p_at, 0)
        RETURNING * INTO person;
    END IF;
    INSERT INTO public.tenants_membership (user_id, tenant_id, role, added_at, added_by)
        VALUES (person.id, invited.tenant_id, invited.role, p_at, invited.invited_by_email);
    UPDATE public.tenants_invitation i SET accepted_at = p_at WHERE i.id = invited.id;
    RETURN QUERY SELECT person.id, person.email::text, invited.role::text;
END $$;
"""

JOIN_BY_SIGN_ON = """
CREATE OR REPLACE FUNCTION public.aii_join_by_sign_on(
    p_tenant_id bigint, p_email text, p_name text, p_role text, p_added_by text, p_at timestamptz
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    joined uuid;
BEGIN
    IF p_role NOT IN ('VIEWER', 'OPERATOR') THEN
        RETURN NULL;
    END IF;
    -- '!' begins what no password matches.
    INSERT INTO public.tenants_user (id, email, name, password, is_active, joined_at, session_epoch)
        VALUES (gen_random_uuid(), p_email, p_name, '!' || gen_random_uuid(), true, p_at, 0)
        ON CONFLICT (email) DO NOTHING
        RETURNING id INTO joined;
    IF joined IS NOT NULL THEN
        INSERT INTO public.tenants_membership (user_id, tenant_id, role, added_at, added_by)
            VALUES (joined, p_tenant_id, p_role, p_at, p_added_by);
    END IF;
    RETURN joined;
END $$;
"""

_CALLABLE = (
    "public.aii_try_invitation(text, bigint, timestamptz)",
    "public.aii_accept_invitation(text, bigint, timestamptz, boolean, text, text)",
    "public.aii_join_by_sign_on(bigint, text, text, text, text, timestamptz)",
)


def statements(app_role: str) -> list[str]:
    """Return what makes the functions and lets the application, and nobody else, call them.

    ``app_role`` is quoted already.
    """
    return [
        KEEP_AN_OWNER,
        TRY_INVITATION,
        ACCEPT_INVITATION,
        JOIN_BY_SIGN_ON,
        *(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC" for name in _CALLABLE),
        *(f"GRANT EXECUTE ON FUNCTION {name} TO {app_role}" for name in _CALLABLE),
        "REVOKE ALL ON FUNCTION public.aii_keep_an_owner() FROM PUBLIC",
    ]
