"""Sessions as rows of a tenant: whose, from where, last seen when; idle ones end."""
