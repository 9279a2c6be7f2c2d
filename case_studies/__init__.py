"""Studies that anyone can run again: what it changes to claim only what the evidence carries."""
