"""Names of the database roles of the log."""

# Owns the tables; nobody logs in as it.
LOG_OWNER = "aii_audit"
# Gives entries their places and heads; the application's login may become it.
SEQUENCER = "aii_sequencer"
