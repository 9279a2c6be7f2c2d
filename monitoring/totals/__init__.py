"""The audit across tenants, over encrypted totals."""
