"""Tenants, people, memberships and roles; the fence that keeps tenants apart."""
