"""The protocol's own version, apart from Airloom's. It rises when either side could misread the other."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from airloom.errors import ProtocolError

PROTOCOL_VERSION = "1"


class Document(BaseModel):
    """Base of every document on the wire. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class VersionedDocument(Document):
    """A document that opens with the protocol's version."""

    protocol: str = PROTOCOL_VERSION

    def to_json(self) -> bytes:
        """UTF-8 JSON, one object, ending in a newline."""
        return self.model_dump_json(exclude_none=True).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Read a document.

        Errors:
            ProtocolError: not JSON, truncated, of another protocol version, or not of this shape.
        """
        from pydantic_core import from_json

        try:
            document: Any = from_json(text)
        except ValueError as error:
            raise ProtocolError(f"this {cls.__name__} is not whole JSON ({error}); was it cut off?") from error
        given = document.get("protocol") if isinstance(document, dict) else None
        if given != PROTOCOL_VERSION:
            raise ProtocolError(
                f"this {cls.__name__} is of protocol version {given!r}, and this side speaks {PROTOCOL_VERSION!r} "
                "only. Install the same Airloom release on both sides."
            )
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ProtocolError(f"this {cls.__name__} is not of the protocol's shape: {error}") from error
