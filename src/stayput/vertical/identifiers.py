"""Identifiers in one form: what two registers write differently of one person becomes equal.

The scenario declares a rule for each identifier column; every holder brings its own identifiers
into that form before they are blinded, so equal people have equal bytes and nothing else about the
identifier matters.  What does not fit the rule is refused, never repaired: a wrong check digit is
somebody else, or nobody.

* ``text``: Unicode NFKC, then the declared separators and surrounding white space are left out,
  then, where declared, full case folding.
* ``cn_resident``: 18 characters, GB 11643-1999: a region, a real date of birth, an order number, a
  check character by ISO 7064 MOD 11-2.  The 15 digits of before 1999 are refused: they have no
  check digit, and the century is a guess.
* ``cn_organisation``: 18 characters, GB 32100-2015 (unified social credit code), check character
  modulo 31.
* ``luhn``: 2 to 32 digits, the last by Luhn's formula (ISO/IEC 7812-1 annex B), such as card
  numbers, IMEI, Canadian SIN.
* ``iban``: ISO 13616, two letters, two check digits, 1 to 30 more (MOD 97-10); the length that a
  country uses is not checked.
* ``lei``: ISO 17442, 20 characters (MOD 97-10).

Every kind but ``text`` is ASCII after NFKC (full-width digits become plain ones), in capitals,
without spaces and hyphens.

Unicode is version 3.2, which every Python has beside its own (:data:`unicodedata.ucd_3_2_0`): two
holders with different Pythons must not disagree about one name.  Text with a character that is
younger is refused.

Not here: blinding, and what a set of identifiers gives away (docs/protocol.md).  No message of an
error has an identifier in it.
"""

from __future__ import annotations

import datetime
import operator
import re
import unicodedata

from stayput.errors import InvalidInput
from stayput.scenario import UNSHOWABLE, IdentifierKind, IdentifierRule

MAX_BYTES = 256
"""Longest identifier after normalisation; names and numbers are far shorter."""

MAX_CHARACTERS = 1_024
"""Longest identifier before it; NFKC makes at most 18 characters of one."""

_UNICODE = unicodedata.ucd_3_2_0
_DIGITS = "0123456789"
_ALPHANUMERIC = _DIGITS + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_RESIDENT = re.compile(r"[1-9][0-9]{16}[0-9X]")
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
"""2**(18 - i) mod 11 at place i (GB 11643-1999, annex)."""
_RESIDENT_CHECK = "10X98765432"
_FIRST_YEAR = 1800

_ORGANISATION_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""Without I, O, S, V, Z (GB 32100-2015)."""
_ORGANISATION = re.compile(
    f"[{_ORGANISATION_ALPHABET}]{{2}}[0-9]{{6}}[{_ORGANISATION_ALPHABET}]{{10}}"
)

_TWO_DIGITS = tuple(f"{number:02}" for number in range(2, 99))

_LUHN = re.compile(r"[0-9]{2,32}")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}")
_LEI = re.compile(r"[A-Z0-9]{18}[0-9]{2}")


def normalise(value: str | int, rule: IdentifierRule) -> bytes:
    """The one form of an identifier under a rule, as UTF-8; 1 to 256 bytes.

    Raises:
        InvalidInput: it does not fit the rule; the message names the rule that it breaks, and not
            the identifier.
    """
    text = str(value) if type(value) is int else value
    if not isinstance(text, str):
        raise InvalidInput("an identifier is a text or a whole number")
    if len(text) > MAX_CHARACTERS:
        raise _misfit("is too long")
    found = _text(text, rule) if rule.kind is IdentifierKind.TEXT else _coded(text, rule.kind)
    encoded = found.encode("utf-8")
    if not encoded:
        raise _misfit("is empty")
    if len(encoded) > MAX_BYTES:
        raise _misfit("is too long")
    return encoded


def invented(kind: IdentifierKind, number: int) -> str:
    """The identifier of an invented person or company: well-formed, and nobody's.

    Equal numbers give equal identifiers.  Resident numbers begin with 99, which is no division;
    codes of organisations likewise; an IBAN of the country XX; others begin with 0.

    Args:
        number: 0 to 9,999,999.
    """
    if not 0 <= number < 10_000_000:
        raise ValueError("there are ten million invented identifiers")
    body, check = {
        IdentifierKind.TEXT: (f"{number:07}", ("",)),
        IdentifierKind.CN_RESIDENT: (
            f"99{number // 1000:04}20000101{number % 1000:03}",
            tuple(_RESIDENT_CHECK),
        ),
        IdentifierKind.CN_ORGANISATION: (f"91990000{number:09}", tuple(_ORGANISATION_ALPHABET)),
        IdentifierKind.LUHN: (f"0{number:07}", tuple(_DIGITS)),
        IdentifierKind.LEI: (f"00000000000{number:07}", _TWO_DIGITS),
        IdentifierKind.IBAN: (f"{number:07}", _TWO_DIGITS),
    }[kind]
    rule = IdentifierRule(kind)
    for digits in check:
        text = f"XX{digits}{body}" if kind is IdentifierKind.IBAN else body + digits
        try:
            return normalise(text, rule).decode("ascii")
        except InvalidInput:
            continue
    raise AssertionError("unreachable: one of the check digits is right")


def _text(text: str, rule: IdentifierRule) -> str:
    composed = _composed(text)
    kept = composed.translate(dict.fromkeys(map(ord, rule.separators))).strip()
    if not rule.any_case:
        return kept
    # Folding may take a text out of NFKC, and once more is enough: Unicode 3.2, 3.13, D145 ff.
    return _UNICODE.normalize("NFKC", _UNICODE.normalize("NFKC", kept).casefold())


def _composed(text: str) -> str:
    if text.isascii() and text.isprintable():  # as almost all are, and then they are NFKC
        return text
    strange = any(_UNICODE.category(character).startswith("C") for character in text)
    if strange or UNSHOWABLE.search(text):
        raise _misfit("has a character that is unassigned in Unicode 3.2, or invisible")
    return _UNICODE.normalize("NFKC", text)


def _coded(text: str, kind: IdentifierKind) -> str:
    plain = _composed(text)
    if not plain.isascii():
        raise _misfit("has letters that are not plain ASCII")
    plain = plain.replace(" ", "").replace("-", "").upper()
    _VERIFY[kind](plain)
    return plain


def _verify_resident(text: str) -> None:
    if len(text) == 15 and text.isdigit():
        raise _misfit("has the 15 digits of before 1999", "give the number of 18 characters")
    if not _RESIDENT.fullmatch(text):
        raise _misfit("is not 17 digits and a check character")
    try:
        born = datetime.date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        raise _misfit("has a date of birth that is not in the calendar") from None
    if born.year < _FIRST_YEAR:
        raise _misfit("has a date of birth before 1800")
    weighed = sum(map(operator.mul, map(int, text[:17]), _RESIDENT_WEIGHTS))
    if _RESIDENT_CHECK[weighed % 11] != text[-1]:
        raise _misfit("has a wrong check character")


def _verify_organisation(text: str) -> None:
    if not _ORGANISATION.fullmatch(text):
        raise _misfit("is no unified social credit code of 18 characters")
    values = [_ORGANISATION_ALPHABET.index(character) for character in text]
    weighed = sum(value * pow(3, i, 31) for i, value in enumerate(values[:17]))
    if (31 - weighed % 31) % 31 != values[17]:
        raise _misfit("has a wrong check character")


def _verify_luhn(text: str) -> None:
    if not _LUHN.fullmatch(text):
        raise _misfit("is not 2 to 32 digits")
    total = 0
    for place, digit in enumerate(reversed(text)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    if total % 10:
        raise _misfit("has a wrong check digit")


def _verify_iban(text: str) -> None:
    # 00, 01 and 99 satisfy the remainder as 97, 98 and 02 do: ISO 7064 never makes them.
    if not _IBAN.fullmatch(text) or text[2:4] in ("00", "01", "99"):
        raise _misfit("is no IBAN: two letters, check digits 02 to 98, 1 to 30 letters or digits")
    _verify_remainder(text[4:] + text[:4])


def _verify_lei(text: str) -> None:
    if not _LEI.fullmatch(text) or text[18:] in ("00", "01", "99"):
        raise _misfit("is no LEI: 18 letters or digits and check digits 02 to 98")
    _verify_remainder(text)


def _verify_remainder(text: str) -> None:
    """ISO 7064 MOD 97-10, letters as 10 to 35."""
    if int("".join(str(_ALPHANUMERIC.index(character)) for character in text)) % 97 != 1:
        raise _misfit("has wrong check digits")


_VERIFY = {
    IdentifierKind.CN_RESIDENT: _verify_resident,
    IdentifierKind.CN_ORGANISATION: _verify_organisation,
    IdentifierKind.LUHN: _verify_luhn,
    IdentifierKind.IBAN: _verify_iban,
    IdentifierKind.LEI: _verify_lei,
}


def _misfit(what: str, hint: str = "") -> InvalidInput:
    return InvalidInput(
        f"an identifier {what}",
        hint=hint or "mend it in the source, or leave its row out of the table that is offered",
    )
