"""The two promises, for any list: exactly who is listed is deleted, and every row ends in exactly one outcome."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lists import delete_listed

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.emulator.profiles import Profile

SIGNS = "\"\\+,()[]{}%&=#?;:'`*/ .-_aA1éß漢😀"
ULID = "01HZZZZZZZZZZZZZZZZZZZZZZZ"

local_parts = st.text(SIGNS, min_size=1, max_size=12) | st.text(SIGNS, min_size=85, max_size=110)
addresses = st.builds("{}@{}".format, local_parts, st.sampled_from(["example.com", "Example.COM", "x,y.example.com"]))
numbers = st.integers(0, 9).map("+1500555000{}".format)
customers = st.text(SIGNS, min_size=1, max_size=8)

people = st.fixed_dictionaries(
    {},
    optional={"email": addresses, "phone_number": numbers, "external_id": customers},
)
rows = st.one_of(
    addresses,
    numbers,
    st.builds(lambda value: {"email": value}, addresses),
    st.builds(lambda value: {"phone_number": value}, numbers | st.just("+1 (500) 555-0001")),
    st.builds(lambda value: {"external_id": value}, customers),
    st.sampled_from([None, 7, "", "nobody", ULID, {"id": ULID}, {"email": None}]),
)


def look_alikes(address: str) -> set[str]:
    """Return addresses that a careless look-up would take for this one."""
    local, _, domain = address.partition("@")
    return {
        address.replace("\\", ""),
        address.replace('"', ""),
        address.replace('"', '\\"'),
        address.replace("\\", "\\\\"),
        address.replace("+", " "),
        address.replace("+", "%2B"),
        address.replace(".", ""),
        address.replace(" ", ""),
        f"{local.partition('+')[0]}@{domain}",
        f"{local.partition(',')[0]}@{domain}",
        address.partition(",")[2],
        address[:100],
        address[:99],
        f"{address}x",
        f"x{address}",
        "nobody@example.com",
    } - {address}


@settings(max_examples=150)
@given(addresses)
@example('"ada"@example.com')
@example("a\\@example.com")
@example('a"],x(["@example.com')
@example("ada+tag@example.com")
@example("ada,bob@example.com")
@example("a(b)[c]@example.com")
@example("ädä@example.com")
@example("a" * 88 + "@example.com")
@example("a" * 89 + "@example.com")
def test_an_address_is_looked_up_as_itself_or_is_invalid_and_never_finds_anybody_else(
    lasting_emulator: Emulator, lasting_client: KlaviyoClient, address: str
) -> None:
    lasting_emulator.forget_people()
    itself = lasting_emulator.add_profile(address.strip())
    for other in look_alikes(address.strip().lower()):
        lasting_emulator.add_profile(other)
    result = delete_listed([address], lasting_client)
    if result["invalid"]:
        assert lasting_emulator.deletion_requests == []
    else:
        assert lasting_emulator.deletion_requests == [itself]
        assert lasting_emulator.deleted == {itself}


def holders(profiles: Iterable[Profile], identifier: Identifier) -> dict[str, list[str]]:
    """Return the ids of the profiles that hold a spelling, by that spelling."""
    found: dict[str, list[str]] = {}
    for profile in profiles:
        value = getattr(profile, identifier.kind)
        if value in identifier.spellings:
            found.setdefault(value, []).append(profile.id)
    return found


@settings(max_examples=150)
@given(st.lists(people, max_size=12), st.lists(rows, max_size=15), st.data())
def test_exactly_who_is_listed_is_deleted_and_every_row_has_one_outcome(
    lasting_emulator: Emulator,
    lasting_client: KlaviyoClient,
    persons: list[dict[str, str]],
    listed: list[object],
    data: st.DataObject,
) -> None:
    lasting_emulator.forget_people()
    ids = lasting_emulator.add_profiles(persons)
    if persons:
        known: list[object] = [{kind: value} for person in persons for kind, value in person.items()]
        listed = listed + data.draw(st.lists(st.sampled_from([*known, *ids]), max_size=8))
    before = lasting_emulator.profiles()
    result = delete_listed(listed, lasting_client)

    named: list[Identifier] = []
    for row in listed:
        try:
            named.append(Identifier.parse(row))
        except InvalidIdentifierError:
            continue
    matches = {one: holders(before, one) for one in reversed(named)}
    wanted = {profile_id for spelled in matches.values() if len(spelled) == 1 for profile_id in spelled.popitem()[1]}
    requests = lasting_emulator.deletion_requests
    assert sorted(requests) == sorted(wanted), "everybody who is listed, nobody else, and each once"
    assert result["profile_ids"] == requests
    assert result["listed"] == len(listed)
    assert result["invalid"] == len(listed) - len(named)
    assert result["duplicates"] == len(named) - len(set(named))
    outcomes = ("planned", "requested", "absent", "invalid", "refused", "held")
    assert result["listed"] == result["duplicates"] + sum(result[name] for name in outcomes)


@settings(max_examples=50)
@given(st.lists(rows, max_size=8))
def test_nobody_is_deleted_whom_klaviyo_puts_into_an_answer_unasked(
    lasting_emulator: Emulator, lasting_client: KlaviyoClient, listed: list[object]
) -> None:
    lasting_emulator.forget_people()
    lasting_emulator.clear_faults()
    lasting_emulator.add_profiles(
        [{"email": "stranger@example.org", "phone_number": "+15005559999", "external_id": "stranger"}] * 3
    )
    lasting_emulator.fault("unasked_profile")
    try:
        delete_listed(listed, lasting_client)
    finally:
        lasting_emulator.clear_faults()
    assert lasting_emulator.deletion_requests == []


def test_a_second_run_finds_nobody_left(lasting_emulator: Emulator, lasting_client: KlaviyoClient) -> None:
    lasting_emulator.forget_people()
    lasting_emulator.add_profiles({"email": f"{number}@example.com"} for number in range(20))
    listed: list[object] = [f"{number}@example.com" for number in range(30)]
    first = delete_listed(listed, lasting_client)
    second = delete_listed(listed, lasting_client)
    assert (first["requested"], first["absent"]) == (20, 10)
    assert (second["requested"], second["absent"]) == (0, 30)
    assert len(lasting_emulator.deletion_requests) == 20


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u212aelvin@example.com", "kelvin@example.com"),
        ("\u0130da@example.com", "ida@example.com"),
        ("stra\u00dfe@example.com", "strasse@example.com"),
    ],
)
def test_a_letter_that_looks_like_another_finds_nobody_else(
    lasting_emulator: Emulator, lasting_client: KlaviyoClient, one: str, other: str
) -> None:
    lasting_emulator.forget_people()
    lasting_emulator.add_profile(other)
    assert delete_listed([one], lasting_client)["absent"] == 1
    assert lasting_emulator.deletion_requests == []
