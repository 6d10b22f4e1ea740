"""Encryption: from a holder's values to one sum that only the checker opens.

::

    values ──encrypt──▶ EncryptedPartial × n ──Addition──▶ EncryptedSum ──open──▶ sums

A holder masks its values pairwise with every other participant, packs and encrypts them under the
checker's Paillier key.  The coordinator multiplies ciphertexts and can read nothing.  The checker
opens the sum; a single part, or a sum of fewer or other parts, opens to noise for it too.

Clauses (``docs/protocol.md``):

* M-1  All parts of a sum are bound to one :class:`Context`: run, scenario, round, participants,
  checker key, width and count.  A holder makes its part of a context once; a retry sends the same
  bytes; computing again needs a new run.
* M-2  Masks are modulo 2^width; of a pair, the lower name adds.
* M-3  Guard bits: 8 for at most 256 participants, 16 for at most 65,536.
* M-4  Of n participants each gives only values x with |x| < 2^(width-1) / n, so the sum fits.
* M-5  A sum takes one part of every participant: no more, no fewer, no one else's.
* M-6  A ciphertext is a unit modulo n², the vector has exactly the length of its context.
* M-7  Where the scenario asks for it a part ends with a proof that its holder knows what is in it,
  bound to holder and context: nobody's part is another's, nor made of others'.

Not here: signatures over parts, who may take part (:mod:`stayput.session`).  What leaks: number and
width of the values, which the scenario tells anyway.  What M-6 does *not* show is that a sum was
formed from the parts it names: whoever holds them can form it again and compare digests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stayput import documents
from stayput.crypto import paillier, proofs
from stayput.crypto.agreement import AgreementKey
from stayput.crypto.cores import Progress
from stayput.crypto.masks import pairwise_mask
from stayput.crypto.packing import (
    WIDTHS,
    Layout,
    add_residues,
    extremes,
    layout_for,
    pack,
    residues_from,
    unpack,
    values_from,
    whole_array,
    whole_numbers,
)
from stayput.crypto.paillier import (
    Accumulator,
    CiphertextVector,
    PrivateKey,
    PublicKey,
    parse_ciphertexts,
)
from stayput.documents import Int64, document
from stayput.errors import (
    InvalidInput,
    NotYet,
    PermissionDenied,
    RuleViolation,
    VerificationError,
)
from stayput.scenario import MAX_HOLDERS
from stayput.steps import Round

MAX_COUNT: Final = 1 << 24
"""Values in one vector; at 3072 bits and 64-bit values it has some 300 MB of ciphertexts."""


@document("stayput.v1.Context")
@dataclasses.dataclass(frozen=True)
class Context:
    """Everything that a part is bound to (M-1); its digest keys the masks.

    ``scenario`` is the scenario digest, ``checker_key`` the ``key_id`` of the checker's Paillier
    key, ``width`` the bits per value, ``count`` the number of values.  ``question`` commits to what
    decides which numbers are added (order, verdict): parts made for two questions do not add up,
    whoever shows the holders what.  Its salt also keeps readers of the log from trying counts until
    the context's digest fits.  With ``proven`` every part carries a proof (M-7).
    """

    run: bytes
    scenario: bytes
    round: Round
    participants: tuple[str, ...]
    checker_key: bytes
    width: int
    count: Int64
    question: bytes
    proven: bool = False

    def __post_init__(self) -> None:
        if len(self.run) != 16 or {*map(len, (self.scenario, self.checker_key, self.question))} != {
            32
        }:
            raise ValueError("a run id has 16 bytes; scenario, checker key and question have 32")
        if len(set(self.participants)) != len(self.participants):
            raise ValueError("a participant appears twice")
        if not 2 <= len(self.participants) <= MAX_HOLDERS:  # one alone would be in clear
            raise ValueError(f"a sum has 2 to {MAX_HOLDERS} participants")
        if self.width not in WIDTHS:
            raise ValueError(f"values have {', '.join(map(str, WIDTHS))} bits")
        if not 0 <= self.count <= MAX_COUNT:
            raise ValueError(f"a vector has 0 to {MAX_COUNT} values")

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for all of it."""
        return documents.digest(self)

    @property
    def bound(self) -> int:
        """The largest |x| that a participant may give: |x| < 2^(width-1) / n (M-4)."""
        return ((1 << (self.width - 1)) - 1) // len(self.participants)


@dataclasses.dataclass(frozen=True)
class EncryptedPartial:
    """One holder's part of one sum: masked, packed, encrypted; and its proof (M-7), if any."""

    holder: str
    context: Context
    ciphertexts: bytes = dataclasses.field(repr=False)

    @property
    def digest(self) -> bytes:
        """What the contribution's log entry names."""
        return digest_ciphertexts(self.ciphertexts)


@dataclasses.dataclass(frozen=True)
class EncryptedSum:
    """The sum over all participants, still encrypted."""

    context: Context
    ciphertexts: bytes = dataclasses.field(repr=False)

    @property
    def digest(self) -> bytes:
        """What the log entry of the sum names."""
        return digest_ciphertexts(self.ciphertexts)


def digest_ciphertexts(data: bytes) -> bytes:
    """The digest by which log entries name a ciphertext vector."""
    return documents.digest_bytes("stayput.v1.Ciphertexts", data)


def encrypt(
    values: Sequence[int] | npt.NDArray[np.int64],
    context: Context,
    *,
    me: str,
    key: AgreementKey,
    agreement_keys: Mapping[str, bytes],
    checker: PublicKey,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> EncryptedPartial:
    """Mask, pack and encrypt one holder's values. Call once per context and keep the bytes (M-1).

    Args:
        values: ``context.count`` whole numbers, in the scale of the statement.
        context: what the part is bound to.
        me: this holder's name.
        key: this holder's agreement key.
        agreement_keys: public agreement keys by name, of all participants at least.
        checker: the checker's Paillier key.
        workers: processes that share the work of a long vector; they see masked values only.
        progress: called with ciphertexts done and in all; what it raises cancels.

    Raises:
        PermissionDenied: ``me`` is not a participant.
        VerificationError: the checker's key is not the context's, or an agreement key is missing,
            not my own under my name, or refused.
        InvalidInput: another count, or a value beyond ``context.bound``.
    """
    whole = whole_array(values)
    lowest, highest = extremes(whole)
    if not -context.bound <= lowest <= highest <= context.bound:
        raise InvalidInput(
            "a value is out of the bound of its sum",
            hint="The table contract's bounds or max_rows are exceeded.",
        )
    return _encrypt(whole, context, me, key, agreement_keys, checker, workers, progress)


def encrypt_shares(
    residues: Sequence[int],
    context: Context,
    *,
    me: str,
    key: AgreementKey,
    agreement_keys: Mapping[str, bytes],
    checker: PublicKey,
    workers: Executor | None = None,
    progress: Progress | None = None,
) -> EncryptedPartial:
    """Like :func:`encrypt`, of residues modulo 2^width that only together are numbers (J-10).

    The caller vouches for the bound of the *sum*: |sum| < 2^(width-1).

    Args:
        residues: ``context.count`` numbers from 0 to 2^width - 1.

    Raises:
        PermissionDenied, VerificationError: as for :func:`encrypt`.
        InvalidInput: another count, or a number that is no residue.
    """
    whole = whole_numbers(residues)
    end = 1 << context.width
    if not all(0 <= residue < end for residue in whole):
        raise InvalidInput(f"a share is a number of {context.width} bits")
    signed = whole_array([r - end if r >> (context.width - 1) else r for r in whole])
    return _encrypt(signed, context, me, key, agreement_keys, checker, workers, progress)


def _encrypt(
    whole: npt.NDArray[Any],
    context: Context,
    me: str,
    key: AgreementKey,
    agreement_keys: Mapping[str, bytes],
    checker: PublicKey,
    workers: Executor | None,
    progress: Progress | None,
) -> EncryptedPartial:
    if me not in context.participants:
        raise PermissionDenied("only a participant gives a part of a sum")
    layout = _layout(context, checker)
    peers = _peers(context, me, key, agreement_keys)
    residues = residues_from(whole, layout)
    mask = pairwise_mask(key, me, peers, context.digest, layout)
    plaintexts = pack(add_residues(residues, mask), layout)
    if not _has_proof(context):
        data = paillier.encrypt(checker, plaintexts, workers=workers, progress=progress)
        return EncryptedPartial(me, context, data)
    data, proof = proofs.encrypt_with_proof(
        checker, plaintexts, _binding(context, me), workers=workers, progress=progress
    )
    return EncryptedPartial(me, context, data + proof)


def _has_proof(context: Context) -> bool:
    """An empty vector needs none."""
    return context.proven and context.count > 0


def _binding(context: Context, holder: str) -> bytes:
    """Who proves, and for what (M-7)."""
    return documents.digest_bytes("stayput.v1.Prover", context.digest + holder.encode("ascii"))


class Addition:
    """Forms the encrypted sum of a context as parts arrive; memory of one vector.

    Args:
        context: what every part is bound to.
        checker: the checker's Paillier key.

    Raises:
        VerificationError: the key is not the context's.
    """

    def __init__(self, context: Context, checker: PublicKey) -> None:
        self._context = context
        self._checker = checker
        self._layout = _layout(context, checker)
        self._accumulator = Accumulator(checker, self._layout.ciphertexts)
        self._added: set[str] = set()

    @property
    def missing(self) -> tuple[str, ...]:
        """Participants whose part is not in yet."""
        return tuple(name for name in self._context.participants if name not in self._added)

    def add(self, holder: str, ciphertexts: bytes) -> None:
        """Add the part of ``holder``; refused parts change nothing.

        Raises:
            PermissionDenied: not a participant (M-5).
            RuleViolation: this holder's part is in already (M-5).
            VerificationError: not valid ciphertexts of this context (M-6), or not proven to be
                this holder's own where that is asked for (M-7).
        """
        if holder not in self._context.participants:
            raise PermissionDenied("only a participant gives a part of a sum")
        if holder in self._added:
            raise RuleViolation("a participant's part is added once", clause="M-5")
        self._accumulator.add(self._verified(holder, ciphertexts))
        self._added.add(holder)

    def _verified(self, holder: str, data: bytes) -> CiphertextVector:
        if not _has_proof(self._context):
            return parse_ciphertexts(data, self._checker, self._layout.ciphertexts)
        end = self._layout.ciphertexts * self._checker.ciphertext_bytes
        vector = parse_ciphertexts(data[:end], self._checker, self._layout.ciphertexts)
        return proofs.verify_proof(vector, _binding(self._context, holder), data[end:])

    def sum(self) -> EncryptedSum:
        """The encrypted sum of all participants.

        Raises:
            NotYet: parts are missing (M-5).
        """
        if self.missing:
            raise NotYet(f"parts of {', '.join(self.missing)} are missing")
        return EncryptedSum(self._context, self._accumulator.total().to_bytes())


def parse_sum(data: bytes, context: Context, checker: PublicKey) -> EncryptedSum:
    """Parse untrusted bytes as the encrypted sum of a context.

    Raises:
        VerificationError: not valid ciphertexts of this context (M-6), or not its key.
    """
    parse_ciphertexts(data, checker, _layout(context, checker).ciphertexts)
    return EncryptedSum(context, data)


def open(
    encrypted: EncryptedSum,
    private: PrivateKey,
    *,
    constant_time: bool = True,
    progress: Progress | None = None,
) -> tuple[int, ...]:
    """Decrypt a sum; ``context.count`` signed whole numbers.

    Args:
        constant_time: as far as the key goes, since it is seen when the answer comes and others may
            share the machine; otherwise blinded (docs/adr/0006).
        progress: called with ciphertexts done and in all; what it raises cancels.

    If a part was missing, foreign or made under another context the numbers are noise: this
    function cannot tell, the log can.

    Raises:
        VerificationError: another key, invalid ciphertexts, or not a sum of packed vectors.
    """
    layout = _layout(encrypted.context, private.public)
    vector = parse_ciphertexts(encrypted.ciphertexts, private.public, layout.ciphertexts)
    plaintexts = paillier.decrypt(private, vector, blinded=not constant_time, progress=progress)
    return tuple(values_from(unpack(plaintexts, layout), layout))


def _layout(context: Context, checker: PublicKey) -> Layout:
    """The layout of a context's vectors, once it is clear that the key is the context's."""
    if checker.key_id != context.checker_key:
        raise VerificationError("the checker's key is not the one this sum is bound to")
    parties = len(context.participants)
    return layout_for(checker.plaintext_bits, context.width, parties, context.count)


def _peers(
    context: Context, me: str, key: AgreementKey, agreement_keys: Mapping[str, bytes]
) -> dict[str, bytes]:
    absent = [name for name in context.participants if name not in agreement_keys]
    if absent:
        raise VerificationError(f"the agreement key of {absent[0]} is unknown")
    if agreement_keys[me] != key.public:
        raise VerificationError("another agreement key than mine is known under my name")
    return {name: agreement_keys[name] for name in context.participants if name != me}
