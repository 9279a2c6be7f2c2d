"""Settings: ``base`` for all, then ``development``, ``production`` or ``test``."""
