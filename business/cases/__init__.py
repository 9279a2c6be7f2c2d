"""Business cases: documents made from a scenario and from what the platform measured."""
