"""Template filters of the monitoring app."""
