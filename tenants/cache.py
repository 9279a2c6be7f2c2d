"""Cache keys carry the schema, so that no tenant reads what another stored."""

from tenants.context import chosen


def tenant_cache_key(key: str, key_prefix: str, version: int) -> str:
    """Return ``aii:<schema>:cache:…``; outside a tenant the schema is ``public``."""
    state = chosen()
    return f"aii:{state.schema if state else 'public'}:cache:{key_prefix}:{version}:{key}"
