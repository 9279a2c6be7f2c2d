"""The database engine ``tenants.postgresql``."""
