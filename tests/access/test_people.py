"""Rows become people: everyone once, nobody lost, nobody mixed up with somebody else."""

from __future__ import annotations

from collections.abc import Iterable

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.access.naming import Names
from airflow_provider_klaviyo.access.people import People, read_people
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Kind

hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

NAMES = Names(lambda: FingerprintKeys.parse("a key that is long enough for a fingerprint"))


def grouped(*entries: Entry) -> People:
    return read_people(entries, NAMES)


def values(people: People) -> list[tuple[str | None, list[str]]]:
    return [(one.request_id, [identifier.value for identifier in one.identifiers]) for one in people.everyone]


def test_rows_of_one_request_are_one_person_and_others_are_not() -> None:
    people = grouped(
        Entry(Kind.EMAIL, "jane@example.com", 7),
        Entry(Kind.EMAIL, "jane@example.com"),
        Entry(Kind.PHONE_NUMBER, "+15005550006", "7"),
        Entry(Kind.EMAIL, "JANE@example.com", " "),
        Entry(None, "+15005550006", "8"),
    )
    both = [("7", ["jane@example.com", "+15005550006"]), (None, ["jane@example.com"]), ("8", ["+15005550006"])]
    assert values(people) == both
    assert (people.listed, people.duplicates, people.invalid) == (5, 1, 0)
    assert [person.row for person in people.everyone] == [1, 2, 5]


def test_a_request_of_which_one_row_is_an_identifier_is_a_person() -> None:
    people = grouped(
        Entry(Kind.EMAIL, "none", 7),
        Entry(Kind.EMAIL, "jane@example.com", 7),
        Entry(Kind.EMAIL, "none", 8),
        Entry(Kind.EMAIL, None, 8),
        Entry(Kind.EMAIL, None),
    )
    assert values(people) == [("7", ["jane@example.com"])]
    assert people.invalid == 2


rows = st.builds(
    Entry,
    st.just(Kind.EXTERNAL_ID),
    st.one_of(st.none(), st.text("ab", max_size=2)),
    st.one_of(st.none(), st.sampled_from(["", "r", "s", "r/s", "NULL", "-"]), st.integers(0, 2)),
)


@given(st.lists(rows, max_size=12), st.randoms())
def test_everyone_is_there_once_whatever_the_order(entries: list[Entry], dice: object) -> None:
    people = grouped(*entries)
    listed = {(_id(entry), entry.value) for entry in entries if entry.value}
    found = [(person.request_id, one.value) for person in people.everyone for one in person.identifiers]
    assert len(found) == len(set(found))
    assert set(found) == listed
    documents = [person.document for person in people.everyone]
    assert len(documents) == len(set(documents))
    shuffled = list(entries)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _as_sets(grouped(*shuffled)) == _as_sets(people)


def _id(entry: Entry) -> str | None:
    return None if entry.request_id in (None, "", "NULL", "-", 0) else str(entry.request_id)


def _as_sets(people: People) -> set[tuple[str, frozenset[str]]]:
    return {(one.document, frozenset(_values(one.identifiers))) for one in people.everyone}


def _values(identifiers: Iterable[object]) -> list[str]:
    return [getattr(one, "value", "") for one in identifiers]


def test_a_repr_shows_nobody() -> None:
    people = grouped(Entry(Kind.EMAIL, "canary.tweet@example.com", "canary.tweet"))
    assert "canary" not in repr(people) + repr(people.everyone)
