"""The tamper-evident log and its proofs."""
