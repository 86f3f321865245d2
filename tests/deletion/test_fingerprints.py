"""A person is recognised by a keyed digest that stays the same for years and gives nobody away."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.fingerprints import HOW_TO_MAKE_A_KEY, FingerprintKeyError, FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind

KEY = "0123456789abcdef0123456789abcdef"
OLD = "fedcba9876543210fedcba9876543210"


def test_a_fingerprint_is_the_same_in_every_version() -> None:
    """Of what these give, ledgers are full."""
    keys = FingerprintKeys.parse(KEY)
    jane = "ed3dee27bfad9a21a4d2144f4dea565f625256a03eedc0765cf0f88829ad2d69"
    assert keys.of(Identifier.parse("jane@example.com")) == jane
    assert keys.ids == ("9509e454",)


def test_it_is_hmac_sha256_of_the_kind_and_the_value() -> None:
    expected = hmac.new(KEY.encode(), b"email:jane@example.com", hashlib.sha256).hexdigest()
    assert FingerprintKeys.parse(KEY).of(Identifier.parse(" Jane@Example.com")) == expected


def test_kinds_are_told_apart() -> None:
    keys = FingerprintKeys.parse(KEY)
    same = [Identifier.of(kind, "01HZZZZZZZZZZZZZZZZZZZZZZZ") for kind in (Kind.ID, Kind.EXTERNAL_ID)]
    assert keys.of(same[0]) != keys.of(same[1])


def test_several_keys_are_the_newest_first() -> None:
    keys = FingerprintKeys.parse(f" {KEY} ,{OLD},")
    jane = Identifier.parse("jane@example.com")
    assert keys.all_of(jane) == (FingerprintKeys.parse(KEY).of(jane), FingerprintKeys.parse(OLD).of(jane))
    assert keys.of(jane) == keys.all_of(jane)[0]
    assert keys.ids == (*FingerprintKeys.parse(KEY).ids, *FingerprintKeys.parse(OLD).ids)
    assert all(len(one) == 8 for one in keys.ids)


@pytest.mark.parametrize("missing", [None, "", " ", ",", " , "])
def test_a_missing_key_says_how_to_make_one(missing: str | None) -> None:
    with pytest.raises(FingerprintKeyError, match=r"'Fingerprint key' \(fingerprint_key\) is empty") as caught:
        FingerprintKeys.parse(missing)
    assert HOW_TO_MAKE_A_KEY in str(caught.value)


@pytest.mark.parametrize("short", ["canary", f"{KEY},canary", "x" * 31])
def test_a_short_key_is_refused_and_not_repeated(short: str) -> None:
    with pytest.raises(FingerprintKeyError, match="shorter than 32 characters, and could be guessed") as caught:
        FingerprintKeys.parse(short)
    assert short not in str(caught.value)
    assert "canary" not in str(caught.value)


def test_no_key_is_shown() -> None:
    assert KEY not in repr(FingerprintKeys.parse(KEY))
    assert KEY not in "".join(FingerprintKeys.parse(KEY).ids)


def test_what_cannot_be_read_is_known_again_by_what_it_is() -> None:
    keys = FingerprintKeys.parse(KEY)
    values = ["junk", "junk2", 7, 8, 7.5, Decimal("7.1"), "x" * 999]
    assert len({keys.of_unreadable(value, "not text") for value in values}) == len(values)
    assert keys.of_unreadable(None, "NULL") == keys.of_unreadable([], "NULL") != keys.of_unreadable(None, "not text")


@given(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.none(), st.decimals()))
def test_everything_has_a_fingerprint(value: object) -> None:
    fingerprint = FingerprintKeys.parse(KEY).of_unreadable(value, "not text")
    assert len(fingerprint) == 64
    assert fingerprint == FingerprintKeys.parse(KEY).of_unreadable(value, "not text")


def test_even_what_python_does_not_write_out() -> None:
    for value in ("\ud800", "\x00", 10**5_000, -(10**5_000), "x" * 1_000_000, True):
        assert len(FingerprintKeys.parse(KEY).of_unreadable(value, "not text")) == 64
