"""Identifiers: published examples, an independent oracle for check digits, malformed input."""

from __future__ import annotations

import unicodedata

import pytest
import stdnum.cn.ric
import stdnum.cn.uscc
import stdnum.iban
import stdnum.lei
import stdnum.luhn
from hypothesis import given, settings
from hypothesis import strategies as st

from stayput.errors import InvalidInput
from stayput.scenario import Duplicates, IdentifierKind, IdentifierRule
from stayput.vertical.identifiers import MAX_BYTES, invented, normalise

TEXT = IdentifierRule(IdentifierKind.TEXT)
FOLDED = IdentifierRule(IdentifierKind.TEXT, any_case=True, separators=" -./")

PUBLISHED = [
    # GB 11643-1999, examples of the standard
    (IdentifierKind.CN_RESIDENT, "11010519491231002X"),
    (IdentifierKind.CN_RESIDENT, "440524188001010014"),
    # GB 32100-2015, example of the standard's annex
    (IdentifierKind.CN_ORGANISATION, "91350100M000100Y43"),
    # Luhn's US patent 2950048 and ISO/IEC 7812 as commonly quoted
    (IdentifierKind.LUHN, "79927398713"),
    (IdentifierKind.LUHN, "490154203237518"),  # IMEI example, GSMA TS.06
    # the IBAN registry's examples
    (IdentifierKind.IBAN, "GB29NWBK60161331926819"),
    (IdentifierKind.IBAN, "DE89370400440532013000"),
    (IdentifierKind.IBAN, "MT84MALT011000012345MTLCAST001S"),
    (IdentifierKind.IBAN, "NO9386011117947"),
    # GLEIF's own
    (IdentifierKind.LEI, "506700GE1G29325QX363"),
]


@pytest.mark.parametrize(("kind", "text"), PUBLISHED)
def test_published_examples(kind: IdentifierKind, text: str) -> None:
    rule = IdentifierRule(kind)
    assert normalise(text, rule) == text.encode()
    wide = "".join(chr(ord(c) + 0xFEE0) for c in text)  # full-width, as old registers have it
    assert normalise(f" {wide[:4]}-{wide[4:].lower()} ", rule) == text.encode()


@pytest.mark.parametrize(("kind", "text"), PUBLISHED)
def test_any_single_wrong_digit_is_refused(kind: IdentifierKind, text: str) -> None:
    for place, character in enumerate(text):
        for other in "0123456789":
            if character.isdigit() and other != character:
                with pytest.raises(InvalidInput) as caught:
                    normalise(text[:place] + other + text[place + 1 :], IdentifierRule(kind))
                assert text[4:12] not in str(caught.value) + caught.value.hint


def accepted(text: str, kind: IdentifierKind) -> bool:
    try:
        return normalise(text, IdentifierRule(kind)) == text.encode()
    except InvalidInput:
        return False


@settings(max_examples=150)
@given(st.dates(), st.integers(0, 999), st.integers(110000, 659999))
def test_resident_numbers_against_stdnum(born: object, order: int, region: int) -> None:
    body = f"{region}{str(born).replace('-', '')}{order:03}"
    for check in "0123456789X":
        right = stdnum.cn.ric.calc_check_digit(body + check) == check and body[6:10] >= "1800"
        assert accepted(body + check, IdentifierKind.CN_RESIDENT) == right


@settings(max_examples=150)
@given(st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=9, max_size=9))
def test_organisation_codes_against_stdnum(tail: str) -> None:
    body = "91110108" + tail
    for check in "019AHY":
        right = stdnum.cn.uscc.calc_check_digit(body) == check
        assert accepted(body + check, IdentifierKind.CN_ORGANISATION) == right


@settings(max_examples=150)
@given(st.text("0123456789", min_size=2, max_size=32))
def test_luhn_against_stdnum(text: str) -> None:
    assert accepted(text, IdentifierKind.LUHN) == stdnum.luhn.is_valid(text)


@settings(max_examples=150)
@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=18, max_size=18))
def test_lei_against_stdnum(body: str) -> None:
    check = stdnum.iso7064.mod_97_10.calc_check_digits(body)
    assert accepted(body + check, IdentifierKind.LEI)
    assert not accepted(body + f"{(int(check) + 1) % 100:02}", IdentifierKind.LEI)
    assert stdnum.lei.is_valid(body + check)


@pytest.mark.parametrize(
    ("kind", "text", "about"),
    [
        (IdentifierKind.CN_RESIDENT, "110105491231002", "15 digits"),
        (IdentifierKind.CN_RESIDENT, "110105194902300020", "calendar"),
        (IdentifierKind.CN_RESIDENT, "X10105194912310021", "17 digits"),
        (IdentifierKind.CN_RESIDENT, "11010519491231002Ⅹ１", "17 digits"),
        (IdentifierKind.CN_RESIDENT, "", "17 digits"),
        (IdentifierKind.CN_ORGANISATION, "91350100M000100Y4I", "social credit"),
        (IdentifierKind.LUHN, "7", "2 to 32"),
        (IdentifierKind.LUHN, "०१२", "plain ASCII"),
        (IdentifierKind.IBAN, "GB00NWBK60161331926819", "02 to 98"),
        (IdentifierKind.IBAN, "GB29", "IBAN"),
        (IdentifierKind.LEI, "506700GE1G29325QX3630", "LEI"),
        (IdentifierKind.LEI, "506700GE1G29325QX3\n63", "invisible"),
    ],
)
def test_malformed_codes(kind: IdentifierKind, text: str, about: str) -> None:
    with pytest.raises(InvalidInput, match=about):
        normalise(text, IdentifierRule(kind))


@pytest.mark.parametrize(
    ("value", "rule", "expected"),
    [
        ("A-17", TEXT, "A-17"),
        ("  A-17 ", TEXT, "A-17"),
        (17, TEXT, "17"),
        ("A-17", FOLDED, "a17"),
        ("STRASSE 1", FOLDED, "strasse1"),
        ("Straße 1.", FOLDED, "strasse1"),
        ("ﬁ Ⅷ", FOLDED, "fiviii"),  # NFKC: ligature and Roman numeral
        ("e\u0301", TEXT, "é"),  # combining accent
        ("张\u3000三", FOLDED, "张三"),  # ideographic space becomes a space, then is left out
        ("ÅNGSTRÖM", FOLDED, "ångström"),
        ("\u212bNGSTRO\u0308M", FOLDED, "ångström"),
    ],
)
def test_text(value: str | int, rule: IdentifierRule, expected: str) -> None:
    assert normalise(value, rule) == unicodedata.normalize("NFKC", expected).encode()


@pytest.mark.parametrize(
    "value",
    ["", " ", "a\x00b", "a\u200bb", "\u202eab", "\ud800", "\ue000", "\U0001f600", "x" * 257],
)
def test_text_that_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        normalise(value, TEXT)
    assert caught.value.hint


def test_other_types_are_refused() -> None:
    for value in (True, 1.5, None, b"17"):
        with pytest.raises(InvalidInput):
            normalise(value, TEXT)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="too long"):
        normalise("\ufdfa" * 2000, TEXT)  # 18 characters of one


@settings(max_examples=300)
@given(st.text(max_size=20), st.sampled_from([TEXT, FOLDED]))
def test_a_normal_form_is_one(value: str, rule: IdentifierRule) -> None:
    try:
        once = normalise(value, rule)
    except InvalidInput:
        return
    assert 0 < len(once) <= MAX_BYTES
    assert normalise(once.decode(), rule) == once
    if rule.any_case:
        assert normalise(value.swapcase(), rule) == once or value.swapcase().casefold() != (
            value.casefold()
        )


def test_rules() -> None:
    for made in (
        lambda: IdentifierRule(IdentifierKind.IBAN, any_case=True),
        lambda: IdentifierRule(IdentifierKind.LUHN, separators="-"),
        lambda: IdentifierRule(IdentifierKind.TEXT, separators="a"),
        lambda: IdentifierRule(IdentifierKind.TEXT, separators="-- "),
    ):
        with pytest.raises(ValueError, match="separators"):
            made()
    collapsing = IdentifierRule(IdentifierKind.TEXT, Duplicates.COLLAPSE)
    assert collapsing.same_people(TEXT)
    assert not FOLDED.same_people(TEXT)


@pytest.mark.parametrize("kind", IdentifierKind)
def test_invented_identifiers_are_well_formed_and_distinct(kind: IdentifierKind) -> None:
    rule = IdentifierRule(kind)
    made = [invented(kind, number) for number in (*range(200), 9_999_999)]
    assert len({normalise(text, rule) for text in made}) == 201
    assert made[:200] == [invented(kind, number) for number in range(200)]
    if kind is IdentifierKind.IBAN:
        assert all(stdnum.iban.calc_check_digits(text) == text[2:4] for text in made)
    with pytest.raises(ValueError, match="ten million"):
        invented(kind, 10_000_000)
