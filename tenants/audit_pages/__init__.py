"""The audit explorer: the log of the current tenant, filtered, opened, proven and exported."""
