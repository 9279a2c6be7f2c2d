"""Refusals: what a service answers when it will not do what it was asked.

Each carries a sentence for people and a stable ``code`` for programs. One place translates them
for HTTP (``tenants.middleware``), one for websockets and one for tasks. Bugs are other exceptions.
"""


class DomainError(Exception):
    """A refusal, with a sentence that says what to do."""

    code = "refused"
    status = 400


class Invalid(DomainError):
    """The input has the wrong shape or value."""

    code = "invalid"
    status = 422


class NotFound(DomainError):
    """There is no such thing, or none that this person may see."""

    code = "not_found"
    status = 404


class Forbidden(DomainError):
    """This person's role does not allow it."""

    code = "forbidden"
    status = 403


class Conflict(DomainError):
    """It clashes with the present state."""

    code = "conflict"
    status = 409


class Unavailable(DomainError):
    """A part that is needed does not answer now."""

    code = "unavailable"
    status = 503
