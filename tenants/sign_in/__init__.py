"""The pages about signing in: one's own sessions, a member's, and the tenant's rules."""
