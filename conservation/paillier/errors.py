"""What is refused."""


class Refused(ValueError):
    """A key, ciphertext or number that cannot be used, with a sentence that says why."""


class ProofFailed(Refused):
    """A published proof does not fit what it is said to prove."""
