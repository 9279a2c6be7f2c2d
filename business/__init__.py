"""The business case: what a change costs, what it brings, and how sure that is."""
