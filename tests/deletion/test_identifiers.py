"""An identifier is read as what it is, or is invalid; it never becomes somebody else's, and is never shown."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.emails import read_email, read_plain_email
from airflow_provider_klaviyo.deletion.identifiers import (
    Identifier,
    IdentifierKindError,
    InvalidIdentifierError,
    Kind,
    kind_named,
)

ULID = "01HZZZZZZZZZZZZZZZZZZZZZZZ"

texts = st.text() | st.emails() | st.text('ABab01 +-.()/@"\\,ßẞİKÅΣ\u200b\ud800\n\t', max_size=30)
values = texts | st.none() | st.integers() | st.floats() | st.binary() | st.booleans() | st.lists(st.text())


@given(st.sampled_from(Kind), texts)
def test_normalising_twice_is_normalising_once(kind: Kind, text: str) -> None:
    try:
        once = Identifier.of(kind, text)
    except InvalidIdentifierError:
        return
    assert Identifier.of(kind, once.value) == once


@given(values | st.dictionaries(st.sampled_from([*Kind, "name"]) | st.text(), values, max_size=2))
def test_whatever_is_listed_is_an_identifier_or_an_error_of_ours(raw: object) -> None:
    with contextlib.suppress(InvalidIdentifierError, IdentifierKindError):
        assert Identifier.parse(raw).value


@given(st.sampled_from(Kind), st.text(min_size=4))
def test_no_message_repeats_the_value(kind: Kind, text: str) -> None:
    with pytest.raises(InvalidIdentifierError) as caught:
        Identifier.of(kind, f"canary\n{text} canary")
    assert "canary" not in f"{caught.value!r}"


@given(st.sampled_from(Kind), texts)
def test_what_is_taken_can_be_printed(kind: Kind, text: str) -> None:
    try:
        value = Identifier.of(kind, text).value
    except InvalidIdentifierError:
        return
    assert value.isprintable()
    value.encode()


def assert_read_alike(text: str) -> None:
    """What is read quickly is read as what is read with care."""
    plain = read_plain_email(text)
    if plain is not None:
        forms = (plain,) if plain == text else (plain, text)
        assert read_email(text) == (plain, forms)


addresses = st.builds(
    "{}@{}".format,
    st.text("aB1.!#%&'*+-/=?^_`{|}~\\\"(),:;<>@[] \tß\u212a\u0130\x7f", max_size=95),
    st.lists(st.text("aB1-_/!,ß@ ", max_size=5), max_size=4).map(".".join),
)


@given(texts | addresses | st.text("aA.@", min_size=95, max_size=105))
def test_a_plain_address_is_read_as_any_other(text: str) -> None:
    assert_read_alike(text.strip())


def test_every_letter_of_a_plain_address_is_read_as_in_any_other() -> None:
    for letter in map(chr, [*range(0x250), 0x212A, 0x2028, 0xFF20, 0xD800, 0x1F600]):
        for text in (
            f"a{letter}B@example.com",
            f"a@Ex{letter}ample.com",
            f"{letter}@a.b",
            f"a@{letter}",
            f"a@b{letter}",
        ):
            assert_read_alike(text.strip())


def test_what_most_addresses_have_is_read_quickly() -> None:
    for letter in "aZ09!#$%&'*+-/=?^_`{|}~.":
        assert read_plain_email(f"a{letter}b@sub-domain.example.com") == f"a{letter.lower()}b@sub-domain.example.com"


@pytest.mark.parametrize(
    ("raw", "kind", "value"),
    [
        ("ada@example.com", Kind.EMAIL, "ada@example.com"),
        (" Ada@Example.COM\n", Kind.EMAIL, "ada@example.com"),
        ("+1ada@example.com", Kind.EMAIL, "+1ada@example.com"),
        ("a.d.a+tag@example.com", Kind.EMAIL, "a.d.a+tag@example.com"),
        ('"ada\\x"@example.com', Kind.EMAIL, '"ada\\x"@example.com'),
        ("ÄDA@example.com", Kind.EMAIL, "äda@example.com"),
        ("+15005550006", Kind.PHONE_NUMBER, "+15005550006"),
        (" +1 (500) 555-0006 ", Kind.PHONE_NUMBER, "+15005550006"),
        ("+1.500.555.0006", Kind.PHONE_NUMBER, "+15005550006"),
        ("+1\u00a0500 5550006", Kind.PHONE_NUMBER, "+15005550006"),
        (ULID, Kind.ID, ULID),
        ({"id": "AbC_12-3"}, Kind.ID, "AbC_12-3"),
        ({"email": "Ada@example.com"}, Kind.EMAIL, "ada@example.com"),
        ({"external_id": "Customer 1"}, Kind.EXTERNAL_ID, "Customer 1"),
        ({"external_id": " 7"}, Kind.EXTERNAL_ID, "7"),
        ({"external_id": 7}, Kind.EXTERNAL_ID, "7"),
        ({Kind.PHONE_NUMBER: "+15005550006"}, Kind.PHONE_NUMBER, "+15005550006"),
    ],
)
def test_an_identifier_is_recognised(raw: object, kind: Kind, value: str) -> None:
    identifier = Identifier.parse(raw)
    assert (identifier.kind, identifier.value) == (kind, value)
    assert Identifier.parse(identifier) is identifier


@pytest.mark.parametrize(
    "raw",
    [
        None,
        7,
        7.0,
        b"ada@example.com",
        ["ada@example.com"],
        "",
        " ",
        "ada",
        "15005550006",
        ULID[:-1],
        "@",
        "@example.com",
        "ada@",
        "ada@bob@example.com",
        "ada@example.com,bob@example.com",
        "Ada Lovelace <ada@example.com>",
        "ada@example.com,",
        "ada@example.com.",
        "ada@example..com",
        ".@.",
        "ada @example.com",
        "ada@exa\u00a0mple.com",
        "ada@example\u200b.com",
        "ada@example.com\x00",
        "ada@exam$ple.com",
        "ada@\uff45xample.com",
        "ada@example\u3002com",
        'ada"@example.com',
        '"ada@example.com',
        'ada@example.com"',
        "ada\ud800@example.com",
        "a" * 89 + "@example.com",
        "+150055",
        "+0500555000600",
        "+1500555000612345",
        "+1 500 555 0006 ext 7",
        "+1 500 555 0006/07",
        "+1 500 555 0006, +1 500 555 0007",
        "++15005550006",
        "+1\u0665005550006",
        "+1500555000\u00b2",
        "+15005550006.0",
        "+1 500 555 0006\n+1 500 555 0007",
        "+44 (0)20 7946 0018",
        "+44 ( 0 ) 20 7946 0018",
        {"email": None},
        {"email": 7},
        {"email": "+15005550006"},
        {"phone_number": 15005550006},
        {"phone_number": "0015005550006"},
        {"id": "../accounts"},
        {"id": "ada@example.com"},
        {"id": ""},
        {"id": "A" * 65},
        {"external_id": ""},
        {"external_id": "  "},
        {"external_id": True},
        {"external_id": 7.5},
        {"external_id": float("nan")},
        {"external_id": float("inf")},
        {"external_id": 2.0**53},
        {"external_id": Decimal("7.5")},
        {"external_id": "nan"},
        {"external_id": " NULL "},
        {"external_id": '""'},
        {"external_id": "1.23457E+09"},
        {"external_id": "1e+16"},
        {"external_id": "12345678901234568.0"},
        {"external_id": Decimal("NaN")},
        {"external_id": Decimal("1E+999999")},
        {"external_id": 10**5000},
        {"external_id": "x" * 256},
        {"external_id": "a\nb"},
    ],
)
def test_what_cannot_be_an_identifier_is_invalid(raw: object) -> None:
    with pytest.raises(InvalidIdentifierError):
        Identifier.parse(raw)


@pytest.mark.parametrize(
    "raw", [{}, {"email": "a@example.com", "id": ULID}, {"Email": "a@example.com"}, {"name": "Ada"}, {None: 1}, {(): 1}]
)
def test_a_mapping_that_names_no_kind_is_a_mistake_of_the_whole_list(raw: object) -> None:
    with pytest.raises(IdentifierKindError) as caught:
        Identifier.parse(raw)
    assert "Ada" not in str(caught.value)
    assert "a@example.com" not in str(caught.value)


@pytest.mark.parametrize("name", ["Ada", None, [], 7])
def test_a_kind_that_there_is_not_is_not_repeated(name: object) -> None:
    with pytest.raises(
        IdentifierKindError, match="one of email, phone_number, id, external_id; the given name is none"
    ):
        kind_named(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u212aelvin@example.com", "kelvin@example.com"),
        ("\u0130stanbul@example.com", "istanbul@example.com"),
        ("stra\u00dfe@example.com", "strasse@example.com"),
        ("ada+1@example.com", "ada@example.com"),
        ("a.da@example.com", "ada@example.com"),
    ],
)
def test_two_that_look_alike_stay_two(one: str, other: str) -> None:
    assert Identifier.parse(one) != Identifier.parse(other)


def test_external_ids_keep_their_case() -> None:
    assert Identifier.of(Kind.EXTERNAL_ID, "a") != Identifier.of(Kind.EXTERNAL_ID, "A")


def test_the_same_value_of_two_kinds_is_two_identifiers() -> None:
    assert Identifier.of(Kind.ID, "7") != Identifier.of(Kind.EXTERNAL_ID, "7")


def test_a_repr_does_not_show_the_value() -> None:
    identifier = Identifier.parse("ada@example.com")
    assert "ada" not in f"{identifier} {identifier!r} {[identifier]}"


def test_a_profile_id_in_lower_case_is_klaviyos_in_capitals() -> None:
    assert Identifier.parse(ULID.lower()) == Identifier.parse({"id": ULID.lower()}) == Identifier.parse(ULID)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42, "42"),
        (42.0, "42"),
        (Decimal(42), "42"),
        (Decimal("42.00"), "42"),
        (Decimal("1E+3"), "1000"),
        (UUID(int=7), str(UUID(int=7))),
    ],
)
def test_an_external_id_may_be_a_whole_number_or_a_uuid(value: object, text: str) -> None:
    assert Identifier.of(Kind.EXTERNAL_ID, value).value == text
