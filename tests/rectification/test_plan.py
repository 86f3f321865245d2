"""A list becomes corrections: each person once, nothing that contradicts itself, and nothing that is so already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.deletion.plan import PlanTooLargeError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.rectification.changes import Change
from airflow_provider_klaviyo.rectification.plan import make_plan
from airflow_provider_klaviyo.sources.errors import SourceError

Plan = Callable[..., Any]


@pytest.fixture
def plan(client: KlaviyoClient, emulator: Emulator) -> Plan:
    return lambda *rows, **how: make_plan(rows, client, **how)


def of(external_id: object, email: object = None, phone: object = None, new_id: object = None) -> Change:
    return Change(Kind.EXTERNAL_ID, external_id, None, email, phone, new_id)


def by_email(email: object, new_email: object = None, phone: object = None) -> Change:
    return Change(Kind.EMAIL, email, None, new_email, phone)


def nonzero(result: dict[str, Any]) -> dict[str, int]:
    return {name: number for name, number in result.items() if type(number) is int and number}


def sent(found: Any) -> dict[str, dict[str, str]]:
    return {one.profile_id: dict(one.identifiers) for one in found.corrections}


def test_only_what_is_not_so_yet_is_sent(emulator: Emulator, plan: Plan) -> None:
    jane = emulator.add_profile("jane@example.com", "+15005550001", "1")
    emulator.add_profile("joe@example.com", None, "2")
    found = plan(of("1", "Jane@Example.com", "+15005550002"), of("2", "joe@example.com"), of("3", "x@example.com"))
    assert sent(found) == {jane: {"phone_number": "+15005550002"}}
    assert nonzero(found.result(None)) == {"listed": 3, "planned": 1, "unchanged": 1, "absent": 1}
    assert emulator.calls("update_profile") == 0


UUID_IN_CAPITALS = "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"


@pytest.mark.parametrize(
    ("kept", "new", "to_send"),
    [
        ("42.0", "42", "42"),
        ("42", "42.0", "42.0"),
        ("42", 42.0, None),
        (UUID_IN_CAPITALS.lower(), UUID_IN_CAPITALS, UUID_IN_CAPITALS),
        (UUID_IN_CAPITALS, f" '{UUID_IN_CAPITALS}' ", None),
        ("42", ' "Customer 7" ', "Customer 7"),
    ],
)
def test_a_new_external_id_is_sent_as_it_is_listed(
    emulator: Emulator, plan: Plan, kept: str, new: object, to_send: str | None
) -> None:
    jane = emulator.add_profile("jane@example.com", None, kept)
    found = plan(Change(Kind.EMAIL, "jane@example.com", None, None, None, new))
    assert sent(found) == ({} if to_send is None else {jane: {"external_id": to_send}})


def test_several_profiles_of_one_external_id_are_held(
    emulator: Emulator, plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [emulator.add_profile(f"{n}@example.com", None, "canary-twice") for n in range(2)]
    found = plan(of("canary-twice", "new@example.com"))
    assert (sent(found), nonzero(found.result(None))) == ({}, {"listed": 1, "held": 1})
    assert all(one in caplog.text for one in ids)
    assert "canary" not in caplog.text


def test_the_same_row_twice_is_one(emulator: Emulator, plan: Plan) -> None:
    jane = emulator.add_profile("jane@example.com", None, "1")
    found = plan(of("1", "new@example.com"), of(1, " NEW@example.com"))
    assert sent(found) == {jane: {"email": "new@example.com"}}
    assert nonzero(found.result(None)) == {"listed": 2, "duplicates": 1, "planned": 1}


def test_rows_about_one_person_that_agree_are_put_together(emulator: Emulator, plan: Plan) -> None:
    jane = emulator.add_profile("jane@example.com", None, "1")
    found = plan(
        of("1", "new@example.com"), of("1", None, "+15005550001"), by_email("jane@example.com", "new@example.com")
    )
    assert sent(found) == {jane: {"email": "new@example.com", "phone_number": "+15005550001"}}
    assert nonzero(found.result(None)) == {"listed": 3, "duplicates": 1, "planned": 2}


def test_rows_that_contradict_one_another_are_named_before_anybody_is_looked_up_for_long(
    emulator: Emulator, plan: Plan
) -> None:
    emulator.add_profile("jane@example.com", None, "1")
    with pytest.raises(
        SourceError, match=r"^rows 2 and 4 want one person to have two different values of new_email"
    ) as e:
        plan(
            of("9", "n@example.com"), of("1", "canary@example.com"), of("8", "m@example.com"), of("1", "c2@example.com")
        )
    assert "canary" not in str(e.value)
    assert emulator.calls("update_profile") == 0


def test_two_people_cannot_have_one_identifier(emulator: Emulator, plan: Plan) -> None:
    with pytest.raises(SourceError, match=r"^rows 1 and 2 want two people to have the same new_phone_number"):
        plan(of("1", None, "+15005550001"), of("2", "x@example.com", "+1 500 555 0001"))


def test_two_identifiers_of_one_person_that_contradict_one_another(emulator: Emulator, plan: Plan) -> None:
    emulator.add_profile("jane@example.com", None, "1")
    with pytest.raises(SourceError, match=r"^rows 1 and 3 want one person to have two different values of new_email"):
        plan(of("1", "a@example.com"), of("2", "x@example.com"), by_email("jane@example.com", "b@example.com"))


def test_two_kinds_of_identifier_of_two_people_that_are_to_have_the_same(emulator: Emulator, plan: Plan) -> None:
    emulator.add_profile("jane@example.com", None, "1")
    emulator.add_profile("joe@example.com", None, "2")
    with pytest.raises(SourceError, match=r"^rows 1 and 2 want two people to have the same new_email"):
        plan(of("1", "a@example.com"), by_email("joe@example.com", "a@example.com"))


def test_an_address_that_goes_from_one_to_another_is_no_contradiction(emulator: Emulator, plan: Plan) -> None:
    jane = emulator.add_profile("jane@example.com", None, "1")
    joe = emulator.add_profile("joe@example.com", None, "2")
    found = plan(of("1", "joe@example.com"), of("2", "joe.new@example.com"))
    assert sent(found) == {jane: {"email": "joe@example.com"}, joe: {"email": "joe.new@example.com"}}


def test_rows_that_cannot_be_meant_are_counted_and_logged_by_number_and_field(
    emulator: Emulator, plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    jane = emulator.add_profile("jane@example.com", None, "1")
    rows = [of("1", "new@example.com"), of("1"), of("2", "canary"), of(None, "canary@example.com"), of("3", 7)]
    with caplog.at_level(logging.INFO):
        found = plan(*rows)
    assert sent(found) == {jane: {"email": "new@example.com"}}
    assert nonzero(found.result(None)) == {"listed": 5, "planned": 1, "invalid": 4}
    assert "Row 2 is counted as invalid: it changes nothing" in caplog.text
    assert "Row 3 is counted as invalid: new_email: not an e-mail address" in caplog.text
    assert "Row 4 is counted as invalid: external_id: no value (NULL)" in caplog.text
    assert "Row 5 is counted as invalid: new_email: a value of type int" in caplog.text
    assert "canary" not in caplog.text


def test_a_list_of_nothing_but_nonsense_says_so_and_not_a_thousand_times(
    plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    assert nonzero(plan(*[of("1")] * 1_000).result(None)) == {"listed": 1_000, "invalid": 1_000}
    assert "None of the 1,000 rows can be meant: are they the right columns?" in caplog.text
    assert len(caplog.records) < 30


def test_too_many_profiles_are_refused_before_the_list_is_read_to_its_end(
    emulator: Emulator, client: KlaviyoClient
) -> None:
    emulator.add_profiles({"external_id": str(number)} for number in range(500))
    read: list[int] = []

    def rows() -> Iterator[Change]:
        for number in range(1_000_000):
            read.append(number)
            yield of(number, f"{number}@example.com")

    with pytest.raises(PlanTooLargeError, match=r"more than 10 .* Nothing was changed.* raise max_profiles"):
        make_plan(rows(), client, max_profiles=10)
    assert len(read) < 10_000
    assert emulator.calls("update_profile") == 0


def test_nobody_who_was_not_asked_for_is_in_a_plan(emulator: Emulator, plan: Plan) -> None:
    jane = emulator.add_profile("jane@example.com", None, "1")
    emulator.add_profile("bystander@example.com", None, "3")
    emulator.fault("unasked_profile")
    found = plan(of("1", "new@example.com"), of("2", "x@example.com"))
    assert set(sent(found)) == {jane}
    assert nonzero(found.result(None)) == {"listed": 2, "planned": 1, "held": 1}


def test_a_plan_shows_nobody(emulator: Emulator, plan: Plan) -> None:
    emulator.add_profile("canary@example.com", None, "canary-1")
    found = plan(of("canary-1", "canary.new@example.com"))
    assert len(found.corrections) == 1
    assert "canary" not in f"{found!r} {found.result(None)}"


PEOPLE = ["1", "2", "3", "4", "absent"]
EMAILS = ["old1@example.com", "old2@example.com", "new1@example.com", "new2@example.com", None, "nonsense"]


@given(st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(EMAILS), st.sampled_from(["+15005550001", None]))))
def test_a_list_is_refused_whole_or_nobody_in_it_is_lost(
    one_emulator: Emulator, client: KlaviyoClient, rows: list[tuple[str, str | None, str | None]]
) -> None:
    one_emulator.forget_people()
    for number in range(1, 5):
        one_emulator.add_profile(f"old{number}@example.com", None, str(number))
    try:
        found = make_plan([of(*row) for row in rows], client)
    except SourceError:
        return
    result = nonzero(found.result(None))
    assert result.pop("listed", 0) == len(rows) == sum(result.values())
    new = [(name, value) for one in found.corrections for name, value in one.identifiers.items()]
    assert len(new) == len(set(new)), "no two people get the same"
