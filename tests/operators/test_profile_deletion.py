"""`ProfileDeletionOperator`: who is deleted, what it returns, what it refuses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from traceback import TracebackException
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.api.errors import (
    KlaviyoAuthenticationError,
    KlaviyoError,
    KlaviyoRateLimitError,
)
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator

COUNTS = ("planned", "requested", "absent", "invalid", "refused", "held")


def delete(**arguments: Any) -> dict[str, Any]:
    """Run the operator as a worker does, without a DAG around it."""
    return ProfileDeletionOperator(task_id="delete", **arguments).execute({})


def counted(result: dict[str, Any]) -> dict[str, int]:
    return {name: result[name] for name in COUNTS if result[name]}


def test_each_kind_of_identifier_deletes_its_profile_and_no_other(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator)
    by_email = emulator.add_profile(email="jane@example.com")
    by_phone = emulator.add_profile(phone_number="+15005550006")
    by_external_id = emulator.add_profile(external_id="Customer 42")
    by_id = emulator.add_profile(email="by.id@example.com")
    other = emulator.add_profile(email="jane.other@example.com", external_id="customer 42")

    result = delete(
        profiles=[
            " Jane@Example.com ",
            {"phone_number": "+1 (500) 555-0006"},
            {"external_id": "Customer 42"},
            {"id": by_id},
        ]
    )

    assert emulator.deleted == {by_email, by_phone, by_external_id, by_id}
    assert emulator.has_profile(other)
    assert counted(result) == {"requested": 4}
    assert set(result["profile_ids"]) == emulator.deleted


def test_an_email_and_a_phone_number_of_one_profile_are_one_deletion(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator)
    profile_id = emulator.add_profile(email="jane@example.com", phone_number="+15005550006")

    result = delete(profiles=["jane@example.com", "JANE@example.com", "+15005550006"])

    assert emulator.deletion_requests == [profile_id]
    assert (result["listed"], result["duplicates"], result["requested"]) == (3, 1, 2)
    assert result["profile_ids"] == [profile_id]


def test_nobody_absent_costs_a_deletion_call(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    listed = [f"person.{number}@example.com" for number in range(2_000)]
    for email in listed[::20]:
        emulator.add_profile(email=email)

    result = delete(profiles=listed)

    assert counted(result) == {"requested": 100, "absent": 1_900}
    assert emulator.calls("get_profiles") == 20 + 19, "absent identifiers are looked up twice"
    assert emulator.calls("profile_deletion") == 100


def test_an_empty_list_succeeds_with_zero_counts(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    result = delete(profiles=[])
    assert result["listed"] == 0
    assert counted(result) == {}
    assert result["profile_ids"] == []
    assert emulator.calls() == 0


def test_a_row_that_names_nobody_is_counted_and_logged_by_its_number_only(
    emulator: Emulator, connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    connect(emulator)
    profile_id = emulator.add_profile(email="jane@example.com")
    with caplog.at_level(logging.INFO):
        result = delete(profiles=["jane@example.com", "secret-nonsense", None, {"email": "also secret"}, 7])
    assert emulator.deleted == {profile_id}
    assert counted(result) == {"requested": 1, "invalid": 4}
    for row in (2, 3, 4, 5):
        assert f"Row {row} cannot be an identifier" in caplog.text
    assert "secret" not in caplog.text


def test_a_dry_run_says_whom_it_would_delete_and_deletes_nobody(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator)
    profile_id = emulator.add_profile(email="jane@example.com")
    result = delete(profiles=["jane@example.com", "nobody@example.com"], dry_run=True)
    assert counted(result) == {"planned": 1, "absent": 1}
    assert result["planned_profile_ids"] == [profile_id]
    assert result["profile_ids"] == []
    assert emulator.calls("profile_deletion") == 0


def test_a_list_of_too_many_profiles_is_refused_whole_and_says_how_to_go_on(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator)
    listed = [f"person.{number}@example.com" for number in range(11)]
    for email in listed:
        emulator.add_profile(email=email)
    with pytest.raises(AirflowFailException, match=r"more than 10 .* Nothing was deleted.*raise max_profiles"):
        delete(profiles=listed, max_profiles=10)
    assert emulator.calls("profile_deletion") == 0
    assert counted(delete(profiles=listed, max_profiles=None)) == {"requested": 11}


def test_an_identifier_of_too_many_profiles_is_held_back(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    for _ in range(3):
        emulator.add_profile(external_id="0")
    pair = {emulator.add_profile(external_id="twice") for _ in range(2)}
    result = delete(profiles=[{"external_id": "0"}, {"external_id": "twice"}], max_profiles_per_identifier=2)
    assert counted(result) == {"requested": 1, "held": 1}
    assert emulator.deleted == pair


def test_a_query_is_read_in_the_worker(
    emulator: Emulator, connect: Callable[..., None], warehouse: Callable[..., Path]
) -> None:
    connect(emulator)
    warehouse("jane@example.com", "joe@example.com", None)
    jane, joe = (emulator.add_profile(email=f"{name}@example.com") for name in ("jane", "joe"))
    sql = "SELECT request_id, email FROM suppression_list WHERE request_id > ?"
    result = delete(sql=sql, sql_conn_id="warehouse", parameters=[1])
    assert emulator.deleted == {joe}
    assert emulator.has_profile(jane)
    assert counted(result) == {"requested": 1, "invalid": 1}


def test_a_deletion_whose_answer_was_lost_is_still_to_be_confirmed(connect: Callable[..., None]) -> None:
    with Emulator(limit_factor=1_000, deletion_seconds=60, pending_deletion_status=404) as emulator:
        connect(emulator)
        profile_id = emulator.add_profile(email="jane@example.com")
        emulator.fault("connection_dropped_after", endpoint="profile_deletion", times=1)
        result = delete(profiles=["jane@example.com"])
        assert emulator.deletion_requests == [profile_id]
    assert counted(result) == {"requested": 1}
    assert result["profile_ids"] == [profile_id]


def test_a_deletion_that_is_under_way_by_somebody_else_is_still_to_be_confirmed(connect: Callable[..., None]) -> None:
    with Emulator(limit_factor=1_000, deletion_seconds=60, pending_deletion_status=404) as emulator:
        connect(emulator)
        profile_id = emulator.add_profile(email="jane@example.com")
        delete(profiles=["jane@example.com"])
        result = delete(profiles=["jane@example.com"])
        assert emulator.deletion_requests == [profile_id]
    assert counted(result) == {"requested": 1}
    assert result["profile_ids"] == [profile_id]


def test_a_profile_that_was_not_asked_for_is_never_deleted(
    emulator: Emulator, connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    connect(emulator)
    jane = emulator.add_profile(email="jane@example.com")
    others = {emulator.add_profile(email=f"other.{number}@example.com") for number in range(5)}
    emulator.fault("unasked_profile")
    delete(profiles=["jane@example.com"])
    assert emulator.deleted == {jane}
    assert all(map(emulator.has_profile, others))
    assert "do not match the filter; they are ignored" in caplog.text


def test_trouble_stops_the_task_and_the_next_try_goes_on(
    emulator: Emulator, connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    connect(emulator)
    listed = [f"person.{number}@example.com" for number in range(6)]
    profile_ids = [emulator.add_profile(email=email) for email in listed]
    emulator.fault("deletion_refused")
    with pytest.raises(KlaviyoAuthenticationError) as refused:
        delete(profiles=listed)
    assert "The key itself is right: GET /api/accounts knows it" in str(refused.value)
    assert "lacks the scope data-privacy:write, or Klaviyo refuses everybody there" in str(refused.value)
    assert "0 of 6 deletions requested" in str(refused.value)
    assert "nothing is lost, and 6 profiles are outstanding" in str(refused.value)
    assert emulator.calls("profile_deletion") == 1, "it does not burn through the list"
    emulator.clear_faults()
    assert counted(delete(profiles=listed)) == {"requested": 6}
    assert sorted(emulator.deletion_requests) == sorted(profile_ids)


def test_a_wait_that_is_too_long_is_refused_with_its_length(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    emulator.add_profile(email="jane@example.com")
    emulator.fault("throttled", retry_after=3600)
    with pytest.raises(KlaviyoRateLimitError) as caught:
        delete(profiles=["jane@example.com"])
    assert caught.value.retry_after_seconds == 3600


def test_a_missing_scope_fails_for_good_and_is_named(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    emulator.add_profile(email="jane@example.com")
    emulator.fault("scope_missing", scope="data-privacy:write")
    with pytest.raises(AirflowFailException, match="data-privacy:write"):
        delete(profiles=["jane@example.com"])


def test_the_wrong_account_is_refused_before_anything_is_deleted(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator, account_id="OthEr1")
    emulator.add_profile(email="jane@example.com")
    with pytest.raises(AirflowFailException, match=r"account_id says OthEr1"):
        delete(profiles=["jane@example.com"])
    assert emulator.calls("profile_deletion") == 0
    assert emulator.calls("get_profiles") == 0


def test_a_connection_that_does_not_exist_fails_for_good_and_says_what_to_create() -> None:
    with pytest.raises(AirflowFailException, match=r"'klaviyo_nowhere' does not exist: create it .* 'Private API key'"):
        delete(profiles=["jane@example.com"], klaviyo_conn_id="klaviyo_nowhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"profiles=\[…\], or sql=… with sql_conn_id"),
        ({"profiles": ["a@example.com"], "sql": "SELECT 1", "sql_conn_id": "w"}, "not both"),
        ({"sql": "SELECT 1"}, "needs sql_conn_id"),
        ({"profiles": ["a@example.com"], "parameters": [1]}, "belong to sql"),
        ({"profiles": [{"email": "a@example.com", "phone_number": "+15005550006"}]}, "exactly one identifier"),
        ({"profiles": [{"mail": "a@example.com"}]}, "one of email, phone_number, id, external_id"),
        ({"profiles": [{}]}, "exactly one identifier"),
    ],
)
def test_a_task_that_cannot_be_meant_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProfileDeletionOperator(task_id="delete", **arguments)


@pytest.mark.parametrize(
    "profiles", [[{"email": "a@example.com", "id": "x"}], [{"mail": "a@example.com"}], 7, b"a@b.c"]
)
def test_what_another_task_hands_over_is_refused_when_the_task_starts(
    profiles: Any, emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator)
    operator = ProfileDeletionOperator(task_id="delete", profiles=["jane@example.com"])
    operator.profiles = profiles
    with pytest.raises(AirflowFailException):
        operator.execute({})
    assert emulator.calls() == 0


def test_a_default_connection_for_queries_does_not_get_in_the_way() -> None:
    ProfileDeletionOperator(task_id="delete", profiles=["jane@example.com"], sql_conn_id="warehouse")


def test_what_another_task_returned_is_not_run_as_a_template() -> None:
    """Airflow renders what comes through `expand_kwargs`; an address with a template in it would name somebody else."""
    mapped = ProfileDeletionOperator.partial(task_id="delete").expand_kwargs([])
    operator: Any = mapped.unmap({"profiles": ["{{ 'innocent' }}@example.com", {"external_id": "{{ ti }}"}]})
    assert "innocent" not in str(operator.profiles)
    operator.render_template_fields({})
    assert operator.profiles.value == ["{{ 'innocent' }}@example.com", {"external_id": "{{ ti }}"}]


def test_an_address_may_begin_with_a_bracket(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    profile_id = emulator.add_profile(email="{x@example.com")
    assert delete(profiles="{x@example.com")["profile_ids"] == [profile_id]


def test_no_variable_of_a_traceback_shows_an_address_or_the_key(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator)
    emulator.add_profile(email="canary@example.com")
    for fault in ("key_revoked", "truncated_json", "redirect", "deletion_refused"):
        emulator.fault(fault)
        operator = ProfileDeletionOperator(task_id="delete", profiles=[])
        operator.profiles = ["canary@example.com"]
        with pytest.raises((KlaviyoError, AirflowFailException)) as caught:
            operator.execute({})
        emulator.clear_faults()
        shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
        ours = shown[shown.index("operators/deletion.py") :]
        assert "canary" not in ours
        assert emulator.account.key not in ours


def test_a_rendered_list_is_not_shown() -> None:
    operator = ProfileDeletionOperator(task_id="delete", profiles=["{{ 'jane' }}@example.com", {"id": "{{ 1 }}x"}])
    operator.render_template_fields({})
    assert str(operator.profiles) == "<2 not shown>"
    assert operator.profiles.value == ["jane@example.com", {"id": "1x"}]
