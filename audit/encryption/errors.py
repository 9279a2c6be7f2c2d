"""What can go wrong with keys and sealed content. No message ever holds content or a key."""


class EncryptionError(Exception):
    """The root of all below."""

    code = "encryption"


class KekUnusable(EncryptionError):
    """No key-encryption key is configured, or the configured one cannot be read."""

    code = "kek_unusable"


class SealBroken(EncryptionError):
    """Sealed bytes that do not open: altered, cut, moved elsewhere, or under an unknown key."""

    code = "seal_broken"


class SubjectErased(EncryptionError):
    """The subject's key was destroyed, and nobody asked for another."""

    code = "subject_erased"


class SubjectUnknown(EncryptionError):
    """The subject never had a key."""

    code = "subject_unknown"
