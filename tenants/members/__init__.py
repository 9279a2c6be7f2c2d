"""Who belongs to a tenant: invited, joined, given another role, removed."""
