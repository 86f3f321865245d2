"""Each identifier is looked up in every spelling that it may have, and in none that another one has."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError, Kind, spelling_of

MOST_SPELLINGS = 5
LONGEST = {Kind.EMAIL: 100, Kind.EXTERNAL_ID: 255, Kind.PHONE_NUMBER: 16, Kind.ID: 64}
SIGNS = "aAé\u00e9\u0301\u0338\u212aKkßẞİ\u0131Å\u212bäÄ漢\u0958Σς\u03c3\"'<>`{}-.@+:0179eEfF xn\u00a0\u200b\ufeff\t\n"
UUID_TEXT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"

texts = st.one_of(
    st.text(),
    st.text(SIGNS, max_size=30),
    st.builds("{}@{}.{}".format, st.text(min_size=1), st.text(min_size=1), st.text(SIGNS, min_size=1)),
    st.builds("{}@xn--{}".format, st.text(SIGNS, min_size=1), st.from_regex(r"[a-zA-Z0-9-]{1,12}", fullmatch=True)),
    st.from_regex(r" ?[\"']?-?[0-9]{1,18}(\.[0-9]{1,3})?([eE][+]?[0-9]{1,2})?[\"']? ?", fullmatch=True),
    st.uuids().flatmap(lambda one: st.sampled_from([str(one), one.hex, one.urn, f"{{{one}}}".upper()])),
    st.from_regex(r"\+?[0-9]{5,16}(\.0)?", fullmatch=True),
)


def read(kind: Kind, value: object) -> Identifier | None:
    try:
        return Identifier.of(kind, value)
    except InvalidIdentifierError:
        return None


def check(identifier: Identifier) -> None:
    """All spellings are one identifier, so that no other one can have any of them, and they are few."""
    kind, value, spellings = identifier.kind, identifier.value, identifier.spellings
    assert value in spellings
    assert len(spellings) == len(set(spellings)) <= MOST_SPELLINGS
    assert identifier.listed == spellings[-1]
    for spelling in spellings:
        assert len(spelling) <= LONGEST[kind]
        assert spelling.isprintable(), "a spelling that cannot stand in a filter"
        again = Identifier.of(kind, spelling)
        assert again == identifier, "a spelling that is somebody else's"
        assert set(again.spellings) <= set(spellings), "a spelling that is found by itself only"
        assert value in again.spellings
    assert Identifier.of(kind, identifier.listed).spellings == spellings, "what is stored gives other spellings"


@given(st.sampled_from(Kind), texts)
@example(Kind.EMAIL, "\u212aelvin@example.com")
@example(Kind.EMAIL, "J\u030ca@m\u00fcller.example")
@example(Kind.EMAIL, '"<\u0338a@b.c>"')
@example(Kind.EMAIL, "a@xn--a-ecp.ru")
@example(Kind.EXTERNAL_ID, "\u0958" * 128)
def test_all_spellings_of_an_identifier_are_this_identifier(kind: Kind, text: str) -> None:
    identifier = read(kind, text)
    if identifier is not None:
        check(identifier)


@given(st.sampled_from(Kind), texts, texts)
def test_two_identifiers_share_no_spelling(kind: Kind, one: str, other: str) -> None:
    first, second = read(kind, one), read(kind, other)
    if first is not None and second is not None and first != second:
        assert set(first.spellings).isdisjoint(second.spellings)


def special_characters() -> Iterator[str]:
    """Yield all characters that have another case, another normal form or a compatibility form, but for Hangul."""
    for character in map(chr, range(sys.maxunicode + 1)):
        if "\uac00" <= character <= "\ud7a3":
            continue
        forms = {unicodedata.normalize(form, character) for form in ("NFD", "NFKC")}
        if not forms | {character.lower(), character.upper()} <= {character}:
            yield character


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        (Kind.EMAIL, "j{}e@example.com"),
        (Kind.EMAIL, "J{}\u0301@example.com"),
        (Kind.EMAIL, "jane@m{}r.example"),
        (Kind.EXTERNAL_ID, "{}"),
        (Kind.PHONE_NUMBER, "+1500555000{}"),
    ],
)
def test_every_character_with_several_forms_stays_itself(kind: Kind, pattern: str) -> None:
    for character in special_characters():
        identifier = read(kind, pattern.format(character))
        if identifier is not None:
            check(identifier)
            is_kept = kind is Kind.PHONE_NUMBER or not identifier.value.isascii() or character.isascii()
            assert is_kept, "a letter that has become another one"


@pytest.mark.parametrize(
    "listed",
    [
        "jane@example.com",
        "jane@example.com      ",
        "\u00a0jane@example.com\u3000",
        "\ufeffjane@example.com\u200b",
        "Jane@Example.COM",
        '"jane@example.com"',
        "'jane@example.com'",
        '"""jane@example.com"""',
        '" jane@example.com "',
        "<jane@example.com>",
        "mailto:jane@example.com",
        "<MAILTO:jane@example.com>",
        "\u201cjane@example.com\u201d",
    ],
)
def test_an_address_is_itself_whatever_is_around_it(listed: str) -> None:
    identifier = Identifier.parse(listed)
    assert (identifier.kind, identifier.value) == (Kind.EMAIL, "jane@example.com")
    assert Identifier.of(Kind.EMAIL, listed) == identifier
    assert set(identifier.spellings) <= {"jane@example.com", "Jane@Example.COM"}


@pytest.mark.parametrize(
    ("listed", "spellings"),
    [
        ("jos\u00e9@example.com", {"jos\u00e9@example.com", "jose\u0301@example.com"}),
        ("jose\u0301@example.com", {"jos\u00e9@example.com", "jose\u0301@example.com"}),
        ("JOSE\u0301@example.com", {"jos\u00e9@example.com", "jose\u0301@example.com", "JOSE\u0301@example.com"}),
        (
            "jane@m\u00fcller.example",
            {"jane@m\u00fcller.example", "jane@mu\u0308ller.example", "jane@xn--mller-kva.example"},
        ),
        (
            "jane@XN--MLLER-KVA.example",
            {
                "jane@m\u00fcller.example",
                "jane@mu\u0308ller.example",
                "jane@xn--mller-kva.example",
                "jane@XN--MLLER-KVA.example",
            },
        ),
        ("jane@xn--strae-oqa.example", {"jane@xn--strae-oqa.example", "jane@stra\u00dfe.example"}),
        ("jane@xn--i-7iq.example", {"jane@xn--i-7iq.example", "jane@i\u2764.example"}),
        ("jane@xn--0.example", {"jane@xn--0.example"}),
        ("jane@xn--.example", {"jane@xn--.example"}),
        ("jane@xn--example-.com", {"jane@xn--example-.com"}),
    ],
)
def test_an_address_is_looked_up_with_accents_and_domains_in_each_form(listed: str, spellings: set[str]) -> None:
    assert set(Identifier.parse(listed).spellings) == spellings


@pytest.mark.parametrize(
    "listed",
    [
        "+15005550006",
        "\uff0b\uff11\uff15\uff10\uff10\uff15\uff15\uff15\uff10\uff10\uff10\uff16",
        "+\u0661\u0665\u0660\u0660\u0665\u0665\u0665\u0660\u0660\u0660\u0666",
        "\u202a+1 (500) 555\u20110006\u202c",
        "\uff0b1 \uff08500\uff09 555\u22120006",
        "tel:+1-500-555-0006",
        '"+15005550006"',
        "+1\u202f500\u2009555\u30000006",
    ],
)
def test_a_phone_number_is_itself_in_any_digits(listed: str) -> None:
    assert Identifier.parse(listed).spellings == ("+15005550006",)


@pytest.mark.parametrize(
    ("listed", "spellings"),
    [
        ("C-17", {"C-17"}),
        ("C-17      ", {"C-17", "C-17      "}),
        ("\ufeffC-17", {"C-17"}),
        ("C-17\u00a0", {"C-17"}),
        ("C-17" + 300 * " ", {"C-17"}),
        ('"C-17"', {"C-17", '"C-17"'}),
        ("No\u00ebl", {"No\u00ebl", "Noe\u0308l"}),
        ("42", {"42", "42.0"}),
        (42, {"42", "42.0"}),
        (42.0, {"42", "42.0"}),
        (Decimal("42.00"), {"42", "42.0"}),
        ("42.0", {"42", "42.0"}),
        (" 42.00", {"42", "42.0", " 42.00"}),
        ("-7", {"-7", "-7.0"}),
        ("1.2345678E7", {"12345678", "12345678.0", "1.2345678E7"}),
        ("1.234567E7", {"12345670", "12345670.0", "1.234567E7"}),
        ("4.2e1", {"42", "42.0", "4.2e1"}),
        ("4.200000e+01", {"42", "42.0", "4.200000e+01"}),
        ("12345678901234567890", {"12345678901234567890"}),
        ("12e4", {"12e4"}),
        ("007", {"007"}),
        ("007.0", {"007.0"}),
        ("-0.0", {"-0.0"}),
        ("42.5", {"42.5"}),
        ("12_345", {"12_345"}),
        ("0x1F", {"0x1F"}),
        ("1,234", {"1,234"}),
        ("A42", {"A42"}),
        (UUID(UUID_TEXT), {UUID_TEXT, UUID_TEXT.upper(), UUID(UUID_TEXT).hex, UUID(UUID_TEXT).hex.upper()}),
    ],
)
def test_an_external_id_is_looked_up_as_it_is_and_as_it_was(listed: object, spellings: set[str]) -> None:
    assert set(Identifier.of(Kind.EXTERNAL_ID, listed).spellings) == spellings


@pytest.mark.parametrize("form", ["{}", "{{{}}}", "urn:uuid:{}", "{} ", '"{}"'])
@pytest.mark.parametrize("text", [UUID_TEXT, UUID_TEXT.upper(), UUID(UUID_TEXT).hex, UUID(UUID_TEXT).hex.upper()])
def test_a_uuid_is_one_in_capitals_and_without_hyphens(text: str, form: str) -> None:
    identifier = Identifier.of(Kind.EXTERNAL_ID, form.format(text))
    assert identifier == Identifier.of(Kind.EXTERNAL_ID, UUID(UUID_TEXT))
    assert {UUID_TEXT, UUID_TEXT.upper(), form.format(text)} <= set(identifier.spellings)


@pytest.mark.parametrize(
    ("kind", "pair"),
    [
        (Kind.EXTERNAL_ID, ("a", "A")),
        (Kind.EXTERNAL_ID, ("12e4", "120000")),
        (Kind.EXTERNAL_ID, ("007", "7")),
        (Kind.EXTERNAL_ID, ("{7}", "7")),
        (Kind.EXTERNAL_ID, ("4.2", "42")),
        (Kind.EMAIL, ("jane@stra\u00dfe.example", "jane@strasse.example")),
        (Kind.EMAIL, ('"jane"@example.com', "jane@example.com")),
        (Kind.EMAIL, ("'jane@example.com", "jane@example.com")),
        (Kind.EMAIL, ("jan\u0435@example.com", "jane@example.com")),
    ],
)
def test_two_that_may_be_two_people_stay_two(kind: Kind, pair: tuple[str, str]) -> None:
    first, second = (Identifier.of(kind, value) for value in pair)
    assert first != second
    assert set(first.spellings).isdisjoint(second.spellings)


class Scalar:
    """Like a scalar of numpy."""

    shape = ()

    def __init__(self, value: object, itemsize: int = 8) -> None:
        self.value = value
        self.itemsize = itemsize

    def item(self) -> object:
        return self.value


class ArrowScalar:
    def as_py(self) -> str:
        return "jane@example.com"


def test_a_scalar_of_another_library_is_what_it_holds() -> None:
    assert Identifier.of(Kind.EXTERNAL_ID, Scalar(42)).value == "42"
    assert Identifier.of(Kind.EXTERNAL_ID, Scalar(16_777_215.0, itemsize=4)).value == "16777215"
    assert Identifier.of(Kind.EMAIL, ArrowScalar()).value == "jane@example.com"


@pytest.mark.parametrize("value", [Scalar(True), Scalar(16_777_216.0, itemsize=4), Scalar(2_048.0, itemsize=2)])
def test_a_scalar_that_has_lost_digits_is_invalid(value: object) -> None:
    assert read(Kind.EXTERNAL_ID, value) is None


def test_capitals_do_not_make_another_spelling_of_an_address() -> None:
    assert spelling_of(Kind.EMAIL, "Jane@Example.com") == spelling_of(Kind.EMAIL, "jane@example.com")
    assert spelling_of(Kind.EXTERNAL_ID, "42") != spelling_of(Kind.EXTERNAL_ID, "42.0")
