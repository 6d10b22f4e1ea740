"""The exception tree of Stayput.

Every error that a person or a peer can meet is one of these::

    StayputError                 a sentence for the reader, a hint what to do
    ├── InvalidInput             what was given is malformed; nothing was changed
    │   ├── DocumentError        bytes that should be a signed or canonical document
    │   ├── ScenarioError        a scenario file (carries line and column)
    │   └── SqlError             a statement outside the supported grammar (carries position)
    ├── VerificationError        a signature, proof, digest or ciphertext does not hold
    ├── RuleViolation            a well-formed step that the protocol forbids (carries a clause)
    ├── PermissionDenied         wrong party, wrong role, not in the scenario
    ├── NotFound
    ├── NotYet                   not available now; the same request may succeed later
    ├── Unavailable              a peer cannot be reached
    ├── ContractViolation        the holder's data do not fit the table contract
    ├── RunFailure               a run ended without a result (carries the reason)
    ├── StagingError             the staging process failed or could not be confined
    └── ConfigurationError       a home folder, key file or setting is missing or unusable

What crosses a wire to another organisation is only the *public sentence* of the class (constant,
so that it cannot carry data); the full message stays with the party that raised it.  The one table
from class to gRPC status lives in :mod:`stayput.rpc.status`.
"""

from __future__ import annotations

from typing import ClassVar


class StayputError(Exception):
    """An error with a sentence for people.

    Args:
        message: what happened, one sentence, no trailing hint.
        hint: what the reader can do about it.

    Attributes:
        from_peer: a peer said so over the wire.  That is its word about our request, not something
            that this process has found out about its own files or the log.
    """

    public: ClassVar[str] = "The request could not be carried out."
    from_peer: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class InvalidInput(StayputError):
    """What was given is malformed; nothing was changed."""

    public = "The request is malformed."


class DocumentError(InvalidInput):
    """Bytes that should be a signed or canonical document are not."""

    public = "A document in the request is malformed."


class ScenarioError(InvalidInput):
    """A mistake in a scenario file.

    Args:
        line: 1-based line in the file, 0 when unknown.
        column: 1-based column, 0 when unknown.
        where: dotted path of the field, such as ``tables.flights.columns.month``.
    """

    public = "The scenario is malformed."

    def __init__(
        self, message: str, *, hint: str = "", line: int = 0, column: int = 0, where: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column
        self.where = where


class SqlError(InvalidInput):
    """A statement outside the supported grammar.

    Args:
        line: 1-based line inside the SQL text, 0 when unknown.
        column: 1-based column inside that line, 0 when unknown.
        construct: the part of the text that is not supported.
    """

    public = "The statement is outside the supported grammar."

    def __init__(
        self, message: str, *, hint: str = "", line: int = 0, column: int = 0, construct: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column
        self.construct = construct


class VerificationError(StayputError):
    """A signature, proof, digest or ciphertext does not hold."""

    public = "A signature, proof or digest in the request does not hold."


class RuleViolation(StayputError):
    """A well-formed step that the protocol forbids.

    Args:
        clause: number of the clause in ``docs/protocol.md``, such as ``"S-4"``.
    """

    public = "The protocol does not allow this step now."

    def __init__(self, message: str, *, clause: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.clause = clause


class PermissionDenied(StayputError):
    """Wrong party, wrong role, or not a party of the scenario."""

    public = "This identity may not do this."


class NotFound(StayputError):
    """What was asked for does not exist, or not for this party."""

    public = "There is no such thing for this identity."


class NotYet(StayputError):
    """Not available now; the same request may succeed later."""

    public = "This is not available yet."


class Unavailable(StayputError):
    """A peer cannot be reached."""

    public = "The peer cannot be reached."


class ContractViolation(StayputError):
    """The holder's data do not fit the table contract.

    The message is for the holder alone; everybody else reads the public sentence.
    """

    public = "The holder's data do not fit the table contract."


class StagingError(StayputError):
    """The staging process failed or could not be confined."""

    public = "The holder could not compute its part."


class ConfigurationError(StayputError):
    """A home folder, key file or setting is missing or unusable."""

    public = "The party is not set up for this."


class RunFailure(StayputError):
    """A run ended without a result.

    Args:
        reason: name of the logged reason code.
    """

    public = "The run ended without a result."

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
