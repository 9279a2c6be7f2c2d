"""Model fields whose content is sealed for a person: plain in Python, sealed in the database.

``EncryptedTextField(subject="acknowledged_by_id")`` seals for ``person:<that value>``; the column
of the subject is set before the row is saved and stays. What is read opens when it is looked at, so
rows cost nothing until then. After the subject's key was destroyed it is an ``Erased``, which
renders as "erased" and is written back as it was.

Sealed content cannot be searched, compared or sorted, and is written through rows alone: ``update``
and ``bulk_update`` know no subject. An empty text is stored as such.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, NoReturn

from django.core import checks
from django.core.exceptions import FieldError
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.views.decorators.debug import sensitive_variables

from audit.encryption import services
from audit.encryption.errors import SealBroken


class Sealed:
    """Content as the database holds it, not opened."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __repr__(self) -> str:
        return "<sealed>"


class Erased(Sealed):
    """Content whose key was destroyed."""

    __slots__ = ()

    def __str__(self) -> str:
        return "erased"

    def __repr__(self) -> str:
        return "<erased>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Erased)

    def __hash__(self) -> int:
        return hash(Erased)


class _Write:
    """What a row wants in its column: content to seal for a subject, or what was there before."""

    __slots__ = ("content", "subject_id")

    def __init__(self, subject_id: str, content: bytes | Sealed) -> None:
        self.subject_id, self.content = subject_id, content


class _Opening(DeferredAttribute):
    """Opens what the database gave when somebody looks."""

    field: _EncryptedField

    def __get__(self, instance: models.Model | None, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if instance is None or not isinstance(value, Sealed):
            return value
        return self.field.open_for(instance, value)

    # With it, Python asks __get__ even where the instance's own dictionary has a value.
    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class _EncryptedField(ABC, models.Field):
    """What both fields share; they differ in how content becomes bytes."""

    descriptor_class = _Opening

    def __init__(
        self,
        *args: Any,
        subject: str = "",
        otherwise: str = "",
        kind: str = "person",
        **kwargs: Any,
    ) -> None:
        """``subject`` names the attribute that says whose content it is; where that is None,
        ``otherwise`` is the subject.
        """
        self.subject, self.otherwise, self.kind = subject, otherwise, kind
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        """Tell migrations how to make this field."""
        name, path, args, kwargs = super().deconstruct()
        kwargs["subject"] = self.subject
        if self.otherwise:
            kwargs["otherwise"] = self.otherwise
        if self.kind != "person":
            kwargs["kind"] = self.kind
        return name, path, args, kwargs

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Find a subject that the model does not have, and what sealed content cannot be."""
        found: list[checks.CheckMessage] = list(super().check(**kwargs))
        known = {name for field in self.model._meta.fields for name in (field.name, field.attname)}
        if self.subject not in known:
            found.append(
                checks.Error(
                    f"subject={self.subject!r} is no column of the model.",
                    obj=self,
                    id="encryption.E002",
                )
            )
        if self.unique or self.db_index:  # type: ignore[attr-defined]
            found.append(
                checks.Error("Sealed content has no order.", obj=self, id="encryption.E003")
            )
        return found

    def get_internal_type(self) -> str:
        """Say which column it is."""
        return "BinaryField"

    # -- Reading ----------------------------------------------------------------------------------

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Keep what is stored until somebody looks."""
        if value is None:
            return None
        return Sealed(bytes(value)) if len(value) else self.empty()

    @sensitive_variables()
    def open_for(self, instance: models.Model, sealed: Sealed) -> Any:
        """Return the content of an instance, or ``Erased``; raise ``SealBroken``."""
        content = services.open_sealed(
            sealed.raw,
            context=self._context(),
            subject_id=self._subject_id(instance),
            using=instance._state.db or "default",
        )
        return Erased(sealed.raw) if content is None else self.decode(content)

    # -- Writing ----------------------------------------------------------------------------------

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return what this row wants stored, with its subject."""
        value = model_instance.__dict__[self.attname]
        if value is None or (not isinstance(value, Sealed) and value == self.empty()):
            return value
        content = value if isinstance(value, Sealed) else self.encode(value)
        return _Write(self._subject_id(model_instance), content)

    @sensitive_variables()
    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Seal, with a key that this connection's transaction knows."""
        if value is None:
            return None
        if value in (b"", self.empty()):
            return b""
        if not isinstance(value, _Write):
            raise self._refusal(
                "is written by saving a row: update() and bulk_update() know no subject"
            )
        if isinstance(value.content, bytes):
            return services.seal(
                value.subject_id, value.content, context=self._context(), using=connection.alias
            )
        if services.subject_of(value.content.raw, using=connection.alias) != value.subject_id:
            raise SealBroken(f"{self} holds content of another subject. Set it anew.")
        return value.content.raw

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """As for saving: nothing else reaches the database."""
        return self.get_db_prep_save(value, connection)

    # -- What sealed content cannot do ------------------------------------------------------------

    def get_lookup(self, lookup_name: str) -> Any:
        """Refuse to compare; only ``isnull`` looks at no content."""
        if lookup_name == "isnull":
            return super().get_lookup(lookup_name)
        raise self._refusal("cannot be searched or compared")

    def get_transform(self, name: str) -> NoReturn:
        """Refuse."""
        raise self._refusal("cannot be searched or compared")

    def value_to_string(self, obj: Any) -> NoReturn:
        """Refuse to write content into a fixture."""
        raise self._refusal("is not written into fixtures")

    def _refusal(self, why: str) -> FieldError:
        return FieldError(f"{self} is encrypted: it {why}.")

    # -- Its place and its subject ----------------------------------------------------------------

    def _context(self) -> str:
        return f"{self.model._meta.db_table}|{self.column}"

    def _subject_id(self, instance: models.Model) -> str:
        value = getattr(instance, self.subject)
        if value is not None:
            return f"{self.kind}:{getattr(value, 'pk', value)}"
        if not self.otherwise:
            raise ValueError(f"{self} needs {self.subject}: set it before.")
        return self.otherwise

    # -- How content becomes bytes ----------------------------------------------------------------

    @abstractmethod
    def empty(self) -> Any:
        """Return what an empty column means."""

    @abstractmethod
    def encode(self, value: Any) -> bytes:
        """Return content as bytes."""

    @abstractmethod
    def decode(self, content: bytes) -> Any:
        """Return bytes as content."""


class EncryptedTextField(_EncryptedField):
    """Text, sealed for a person."""

    description = "Text, encrypted for a person"

    def empty(self) -> str:
        """An empty text is no secret."""
        return ""

    def encode(self, value: Any) -> bytes:
        """As UTF-8."""
        if not isinstance(value, str):
            raise TypeError(f"{self} holds text.")
        return value.encode()

    def decode(self, content: bytes) -> str:
        """From UTF-8."""
        return content.decode()


class EncryptedJSONField(_EncryptedField):
    """A JSON value, sealed for a person; None is stored as NULL."""

    description = "JSON, encrypted for a person"
    empty_strings_allowed = False

    def empty(self) -> None:
        """Nothing stands for itself."""
        return

    def encode(self, value: Any) -> bytes:
        """As compact JSON."""
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()

    def decode(self, content: bytes) -> Any:
        """From JSON."""
        return json.loads(content)
