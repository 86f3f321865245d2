"""What a document is called: never after the person, the same in every list, and nobody else's."""

from __future__ import annotations

import string
from typing import NoReturn

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.access.naming import Names
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier

hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

NEW, OLD = "a new key that is long enough for it", "an old key that is long enough for it"
JANE = Identifier.parse("jane@example.com")
ALLOWED = set(string.ascii_letters + string.digits + "_-.")


@pytest.fixture(scope="module")
def names() -> Names:
    return Names(lambda: FingerprintKeys.parse(NEW))


def no_keys() -> NoReturn:
    raise AssertionError("nobody asked for a fingerprint")


@pytest.mark.parametrize("plain", ["1", "REQ-2026-11-22_7", "a.b", "x" * 100, "-", "_", "a..b", "f" * 63])
def test_a_plain_request_id_is_the_name_and_needs_no_key(plain: str) -> None:
    assert Names(no_keys).of(plain, JANE) == (f"{plain}.json",)


@given(st.text(min_size=1, max_size=255))
def test_whatever_the_request_id_the_name_is_a_file_in_the_folder(names: Names, request_id: str) -> None:
    (name,) = names.of(request_id, JANE)
    assert set(name) <= ALLOWED
    assert not name.startswith(".")
    assert len(name) <= 105
    assert name.endswith(".json")


texts = st.text(st.sampled_from("aA1.@/-é"), min_size=1, max_size=4)


@given(st.one_of(st.none(), texts), texts, st.one_of(st.none(), texts), texts)
def test_two_requests_never_have_one_name(
    names: Names, one: str | None, one_address: str, other: str | None, other_address: str
) -> None:
    people = [
        (one, Identifier.parse({"external_id": one_address})),
        (other, Identifier.parse({"external_id": other_address})),
    ]
    requests = [identifier if request_id is None else request_id for request_id, identifier in people]
    assert (requests[0] == requests[1]) == (names.of(*people[0]) == names.of(*people[1]))


def test_a_request_id_cannot_be_somebodys_fingerprint(names: Names) -> None:
    (of_jane,) = names.of(None, JANE)
    for spelling in (str.lower, str.upper):
        (name,) = names.of(spelling(of_jane.removesuffix(".json")), JANE)
        assert name.lower() != of_jane


def test_documents_of_former_keys_are_known(names: Names) -> None:
    both = Names(lambda: FingerprintKeys.parse(f"{NEW},{OLD}"))
    old = Names(lambda: FingerprintKeys.parse(OLD))
    for request_id in (None, "a/b"):
        assert both.of(request_id, JANE) == names.of(request_id, JANE) + old.of(request_id, JANE)


def test_the_keys_are_asked_for_once() -> None:
    asked: list[None] = []

    def keys() -> FingerprintKeys:
        asked.append(None)
        return FingerprintKeys.parse(NEW)

    names = Names(keys)
    assert names.of(None, JANE) == names.of(None, JANE)
    assert len(asked) == 1
