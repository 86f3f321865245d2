"""`ProfileSuppressionOperator`: who is suppressed, what it returns, and that nobody comes into being by it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from traceback import TracebackException
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.api import suppression
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoError, KlaviyoUnavailableError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileSuppressionOperator

OUTCOMES = ("planned", "suppressed", "without_email", "absent", "invalid", "refused", "held")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Klaviyo whose jobs are quick, with somebody in it whom nobody lists."""
    with Emulator(limit_factor=1_000, suppression_seconds=0.01) as emulator:
        emulator.add_profile("bystander@example.com", "+15005550009", "0")
        yield emulator


@pytest.fixture(autouse=True)
def account(emulator: Emulator, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual connection, and jobs that are looked at often."""
    monkeypatch.setattr(suppression, "FIRST_PAUSE_SECONDS", 0.02)
    connect(emulator)


def suppress(**arguments: Any) -> dict[str, Any]:
    """Run the operator as a worker does, without a DAG around it."""
    result = ProfileSuppressionOperator(task_id="restrict", **arguments).execute({})
    assert json.loads(json.dumps(result)) == result
    return result


def counted(result: dict[str, Any]) -> dict[str, int]:
    return {name: result[name] for name in OUTCOMES if result[name]}


def test_each_kind_of_identifier_suppresses_its_profile_and_no_other(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    jane = emulator.add_profile("canary.jane@example.com", "+15005550001")
    joe = emulator.add_profile("canary.joe@example.com", None, "canary-2")
    emulator.add_profile(None, "+15005550003")
    result = suppress(
        profiles=[
            "Canary.Jane@example.com",
            "canary.jane@EXAMPLE.com",
            {"phone_number": "+15005550001"},
            {"external_id": "canary-2"},
            {"phone_number": "+15005550003"},
            "canary.nobody@example.com",
            "canary nonsense",
        ]
    )
    assert result == {
        "listed": 7,
        "duplicates": 1,
        "planned": 0,
        "suppressed": 3,
        "without_email": 1,
        "absent": 1,
        "invalid": 1,
        "refused": 0,
        "held": 0,
        "profile_ids": [jane, joe],
    }
    assert emulator.suppressed == {jane, joe}
    assert len(emulator.profiles()) == 4
    assert "canary" not in caplog.text


def test_nobody_on_the_list_comes_into_being_by_it(emulator: Emulator) -> None:
    result = suppress(profiles=[f"nobody.{n}@example.com" for n in range(300)])
    assert counted(result) == {"absent": 300}
    assert len(emulator.profiles()) == 1
    assert emulator.calls("suppress_profiles") == 0


def test_of_several_profiles_the_worst_counts(emulator: Emulator) -> None:
    with_address = emulator.add_profile("jane@example.com", None, "twice")
    emulator.add_profile(None, "+15005550001", "twice")
    assert counted(suppress(profiles=[{"external_id": "twice"}])) == {"suppressed": 1}
    emulator.add_profile("not an address", None, "twice")
    assert counted(suppress(profiles=[{"external_id": "twice"}])) == {"refused": 1}
    assert emulator.suppressed == {with_address}


def test_a_dry_run_suppresses_nobody(emulator: Emulator) -> None:
    jane = emulator.add_profile("jane@example.com")
    result = suppress(profiles=["jane@example.com", "x@example.com"], dry_run=True)
    assert counted(result) == {"planned": 1, "absent": 1}
    assert (result["profile_ids"], result["planned_profile_ids"]) == ([], [jane])
    assert (emulator.suppressed, emulator.calls("suppress_profiles")) == (set(), 0)


def test_a_list_of_too_many_profiles_is_refused_whole(emulator: Emulator) -> None:
    listed = [f"{n}@example.com" for n in range(11)]
    emulator.add_profiles({"email": email} for email in listed)
    with pytest.raises(AirflowFailException, match=r"more than 10 .* Nothing was suppressed.*raise max_profiles"):
        suppress(profiles=listed, max_profiles=10)
    assert emulator.calls("suppress_profiles") == 0
    assert counted(suppress(profiles=listed, max_profiles=None)) == {"suppressed": 11}


def test_an_identifier_of_too_many_profiles_is_held_back(emulator: Emulator) -> None:
    emulator.add_profiles({"email": f"{n}@example.com", "external_id": "unknown"} for n in range(6))
    assert counted(suppress(profiles=[{"external_id": "unknown"}])) == {"held": 1}
    assert emulator.suppressed == set()


def test_a_query_is_read_in_the_worker(emulator: Emulator, warehouse: Callable[..., Path]) -> None:
    jane, joe = emulator.add_profile("jane@example.com"), emulator.add_profile("joe@example.com")
    warehouse("jane@example.com", "joe@example.com", None, 'x"]),any(email,["bystander@example.com')
    result = suppress(sql="SELECT * FROM suppression_list", sql_conn_id="warehouse")
    assert counted(result) == {"suppressed": 2, "invalid": 2}
    assert emulator.suppressed == {jane, joe}


@pytest.mark.parametrize(
    "row",
    [
        'x"]),any(email,["bystander@example.com',
        "x@example.com\\",
        "x@example.com\r\nAuthorization: other",
        "x\ud800@example.com",
        "../accounts",
        f"{'x' * 1_000_000}@example.com",
        7,
        1.5,
        b"bystander@example.com",
        None,
        "{{conn.klaviyo_default.password}}@example.com",
    ],
    ids=lambda row: type(row).__name__,
)
def test_a_hostile_row_harms_nobody_and_stops_nobody(emulator: Emulator, row: object) -> None:
    jane = emulator.add_profile("jane@example.com")
    operator = ProfileSuppressionOperator(task_id="restrict", profiles=[])
    operator.profiles = [row, {"external_id": row}, "jane@example.com"]
    result = operator.execute({})
    assert result["suppressed"] == 1
    assert result["absent"] + result["invalid"] == 2
    assert emulator.suppressed == {jane}
    assert len(emulator.profiles()) == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [("suppression_cancelled", "cancelled the suppression job"), ("suppression_never_finishes", "is still processing")],
)
def test_a_job_that_comes_to_nothing_is_another_tries(
    emulator: Emulator, fault: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppression.until_complete, "__kwdefaults__", {"patience_seconds": 0.3})
    jane = emulator.add_profile("jane@example.com")
    emulator.fault(fault)
    with pytest.raises(KlaviyoUnavailableError, match=message):
        suppress(profiles=["jane@example.com"])
    emulator.clear_faults()
    assert counted(suppress(profiles=["jane@example.com"])) == {"suppressed": 1}
    assert (emulator.suppressed, len(emulator.profiles())) == ({jane}, 2)


def test_an_answer_that_is_none_is_another_tries(emulator: Emulator) -> None:
    emulator.add_profile("jane@example.com")
    emulator.fault("truncated_json", endpoint="suppress_profiles")
    with pytest.raises(KlaviyoAnswerError, match="a retry goes on with the others"):
        suppress(profiles=["jane@example.com"])


@pytest.mark.parametrize("scope", ["profiles:write", "subscriptions:write", "subscriptions:read"])
def test_a_missing_scope_fails_for_good_and_is_named(emulator: Emulator, scope: str) -> None:
    emulator.add_profile("jane@example.com")
    emulator.fault("scope_missing", scope=scope)
    with pytest.raises(AirflowFailException, match=scope):
        suppress(profiles=["jane@example.com"])


def test_the_wrong_account_is_refused_first(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator, account_id="OthEr1")
    with pytest.raises(AirflowFailException, match="account_id says OthEr1"):
        suppress(profiles=["bystander@example.com"])
    assert emulator.suppressed == set()


@pytest.mark.parametrize("arguments", [{}, {"profiles": [{"mail": "x"}]}, {"sql": "SELECT 1"}, {"path": "x.txt"}])
def test_a_task_that_cannot_be_meant_is_refused_when_the_dag_is_parsed(arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"profiles|sql_conn_id|kind of file"):
        ProfileSuppressionOperator(task_id="restrict", **arguments)


def test_a_task_that_is_killed_suppresses_nobody_more(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.add_profile("jane@example.com")
    operator = ProfileSuppressionOperator(task_id="restrict", profiles=["jane@example.com"])
    make_plan = operator._plan

    def make_plan_and_be_killed(client: Any) -> Any:
        plan = make_plan(client)
        operator.on_kill()
        return plan

    monkeypatch.setattr(operator, "_plan", make_plan_and_be_killed)
    with pytest.raises(KlaviyoError, match="the task is being killed"):
        operator.execute({})
    assert emulator.calls("suppress_profiles") == 0


def test_no_variable_of_a_traceback_shows_an_address_or_the_key(emulator: Emulator) -> None:
    emulator.add_profile("canary@example.com")
    for endpoint in ("get_profiles", "suppress_profiles", "get_suppression_job"):
        emulator.fault("truncated_json", endpoint=endpoint)
        operator = ProfileSuppressionOperator(task_id="restrict", profiles=[])
        operator.profiles = ["canary@example.com"]
        with pytest.raises(KlaviyoError) as caught:
            operator.execute({})
        emulator.clear_faults()
        shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
        ours = shown[shown.index("operators/restriction.py") :]
        assert "canary" not in ours
        assert emulator.account.key not in ours
