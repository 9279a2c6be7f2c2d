"""The alias under which a process that migrates or provisions reaches the database as its owner."""

OWNER_ALIAS = "owner"
