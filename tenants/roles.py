"""Names of the database roles that fence tenants from each other."""

# Holds the grants on shared tables that every tenant's role inherits.
TENANT_GROUP = "aii_tenant"


def tenant_role(schema: str) -> str:
    """Return the NOLOGIN role that may touch this schema and no other tenant's."""
    return f"t_{schema}"
