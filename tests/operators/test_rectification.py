"""`ProfileUpdateOperator`: who is changed, what it returns, what it refuses."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from traceback import TracebackException
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoError, KlaviyoRateLimitError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileUpdateOperator

OUTCOMES = ("planned", "updated", "unchanged", "absent", "held", "invalid", "refused", "duplicate_profile")
JANE = {"external_id": "42", "new_email": "jane.new@example.com"}


@pytest.fixture(autouse=True)
def account(emulator: Emulator, connect: Callable[..., None]) -> None:
    """The usual connection, and somebody whom nobody lists."""
    connect(emulator)
    emulator.add_profile("bystander@example.com", "+15005550009", "0")


@pytest.mark.parametrize("external_id", ["6F9619FF-8B86-D011-B42D-00CF4FC964FF", "43.0", "12_345", "0x1F", "007"])
def test_an_external_id_is_written_as_it_is_listed(emulator: Emulator, jane: str, external_id: str) -> None:
    update(profiles=[{"email": "jane@example.com", "new_external_id": external_id}])
    assert held(emulator, jane)[2] == external_id


@pytest.fixture
def jane(emulator: Emulator) -> str:
    return emulator.add_profile("jane@example.com", "+15005550001", "42", first_name="Jane")


def update(**arguments: Any) -> dict[str, Any]:
    """Run the operator as a worker does, without a DAG around it."""
    result = ProfileUpdateOperator(task_id="rectify", **arguments).execute({})
    assert json.loads(json.dumps(result)) == result
    return result


def counted(result: dict[str, Any]) -> dict[str, int]:
    return {name: result[name] for name in OUTCOMES if result[name]}


def held(emulator: Emulator, profile_id: str) -> tuple[str | None, str | None, str | None]:
    (profile,) = [profile for profile in emulator.profiles() if profile.id == profile_id]
    return profile.email, profile.phone_number, profile.external_id


def test_what_is_listed_is_changed_and_nothing_else(emulator: Emulator, jane: str) -> None:
    joe = emulator.add_profile("joe@example.com", None, "43")
    result = update(
        profiles=[
            JANE,
            {"email": "joe@example.com", "new_phone_number": "+1 500 555 0002", "new_external_id": 44},
            {"external_id": "absent", "new_email": "x@example.com"},
        ]
    )
    assert held(emulator, jane) == ("jane.new@example.com", "+15005550001", "42")
    assert held(emulator, joe) == ("joe@example.com", "+15005550002", "44")
    assert emulator.profiles()[0].email == "bystander@example.com"
    assert [profile.first_name for profile in emulator.profiles()] == [None, "Jane", None]
    assert counted(result) == {"updated": 2, "absent": 1}
    assert (result["listed"], result["duplicates"]) == (3, 0)
    assert (sorted(result["profile_ids"]), result["duplicate_profiles"]) == (sorted([jane, joe]), [])
    assert "planned_profile_ids" not in result
    assert emulator.calls("get_profiles") == 2
    assert emulator.calls("update_profile") == 2


def test_a_second_time_everyone_is_right_already(emulator: Emulator, jane: str) -> None:
    update(profiles=[JANE])
    result = update(profiles=[JANE])
    assert counted(result) == {"unchanged": 1}
    assert result["profile_ids"] == []
    assert emulator.calls("update_profile") == 1


def test_another_profile_in_the_way_is_named(emulator: Emulator, jane: str) -> None:
    other = emulator.add_profile("jane.new@example.com")
    result = update(profiles=[JANE])
    assert counted(result) == {"duplicate_profile": 1}
    assert result["duplicate_profiles"] == [{"profile_id": jane, "duplicate_profile_id": other}]
    assert held(emulator, jane)[0] == "jane@example.com"


def test_everything_at_once(emulator: Emulator, jane: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        emulator.add_profile(None, None, "canary-twice")
    taken = emulator.add_profile("canary.taken@example.com")
    joe = emulator.add_profile("joe@example.com", None, "43")
    caplog.set_level(logging.INFO)
    result = update(
        profiles=[
            JANE,
            JANE | {"request_id": "canary-7"},
            {"external_id": "43", "new_email": "canary.taken@example.com"},
            {"external_id": "canary-twice", "new_email": "canary.2@example.com"},
            {"external_id": "44", "new_phone_number": "canary"},
            {"external_id": "0", "new_phone_number": "+15005550009"},
            {"email": "canary@example.com", "new_external_id": "canary-3"},
        ]
    )
    assert result == {
        "listed": 7,
        "duplicates": 1,
        "planned": 0,
        "updated": 1,
        "unchanged": 1,
        "absent": 1,
        "held": 1,
        "invalid": 1,
        "refused": 0,
        "duplicate_profile": 1,
        "profile_ids": [jane],
        "duplicate_profiles": [{"profile_id": joe, "duplicate_profile_id": taken}],
    }
    assert "Row 5 is counted as invalid: new_phone_number: not a phone number" in caplog.text
    assert "canary" not in caplog.text


def test_a_dry_run_says_whom_it_would_change_and_changes_nobody(emulator: Emulator, jane: str) -> None:
    result = update(profiles=[JANE, {"external_id": "43", "new_email": "x@example.com"}], dry_run=True)
    assert counted(result) == {"planned": 1, "absent": 1}
    assert (result["profile_ids"], result["planned_profile_ids"]) == ([], [jane])
    assert emulator.calls("update_profile") == 0


def test_a_query_is_read_in_the_worker(emulator: Emulator, jane: str, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    joe = emulator.add_profile("joe@example.com", "+15005550002", "43")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE corrections (external_id INTEGER, NEW_EMAIL TEXT, new_phone_number TEXT, x)")
        rows = [(42, "jane.new@example.com", None, 1), (43, "", "+15005550003", b"x"), (44, None, "  ", None)]
        connection.executemany("INSERT INTO corrections VALUES (?, ?, ?, ?)", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
        result = update(sql="SELECT * FROM corrections WHERE external_id > ?", parameters=[1], sql_conn_id="warehouse")
    assert counted(result) == {"updated": 2, "invalid": 1}
    assert held(emulator, jane) == ("jane.new@example.com", "+15005550001", "42")
    assert held(emulator, joe) == ("joe@example.com", "+15005550003", "43")


HOSTILE: dict[str, object] = {
    "a filter that would match everybody": 'x"]),any(email,["bystander@example.com',
    "a backslash before the closing quote": "x@example.com\\",
    "a header after a line break": "x@example.com\r\nAuthorization: other",
    "a NUL": "x\0@example.com",
    "half of a surrogate pair": "x\ud800@example.com",
    "a path": "../accounts",
    "a megabyte": f"{'x' * 1_000_000}@example.com",
    "a fraction": 1.5,
    "a number beyond all sizes": 10**6_000,
    "bytes": b"bystander@example.com",
    "a template": "{{conn.klaviyo_default.password}}@example.com",
}


@pytest.mark.parametrize("row", HOSTILE)
@pytest.mark.parametrize("kind", ["email", "external_id", "id"])
def test_a_hostile_row_harms_nobody_and_stops_nobody(
    emulator: Emulator, jane: str, row: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = held(emulator, emulator.profiles()[0].id)
    hostile = [{kind: HOSTILE[row], "new_email": "x@example.com"}, {"external_id": "no", "new_email": HOSTILE[row]}]
    operator = ProfileUpdateOperator(task_id="rectify", profiles=[])
    operator.profiles = [*hostile, JANE]
    result = operator.execute({})
    assert result["updated"] == 1
    assert result["absent"] + result["invalid"] == 2
    assert held(emulator, jane)[0] == "jane.new@example.com"
    assert held(emulator, emulator.profiles()[0].id) == before
    assert len(emulator.profiles()) == 2
    assert emulator.account.key not in caplog.text
    assert str(HOSTILE[row])[:30] not in caplog.text if isinstance(HOSTILE[row], str) else True


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ([JANE, {"external_id": "42", "new_email": "canary@example.com"}], "rows 1 and 2 want one person"),
        ([JANE, {"external_id": "43", "new_email": "jane.new@example.com"}], "rows 1 and 2 want two people"),
        ([JANE, {"email": "jane@example.com", "new_email": "canary@example.com"}], "rows 1 and 2 want one person"),
    ],
)
def test_a_list_that_contradicts_itself_changes_nobody(
    emulator: Emulator, jane: str, profiles: Any, message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message) as caught:
        update(profiles=profiles)
    assert "canary" not in str(caught.value)
    assert emulator.calls("update_profile") == 0


def test_a_list_of_too_many_profiles_is_refused_whole(emulator: Emulator) -> None:
    listed = [{"external_id": f"c{n}", "new_email": f"{n}.new@example.com"} for n in range(11)]
    emulator.add_profiles({"external_id": str(one["external_id"])} for one in listed)
    with pytest.raises(AirflowFailException, match=r"more than 10 .* Nothing was changed.*raise max_profiles"):
        update(profiles=listed, max_profiles=10)
    assert emulator.calls("update_profile") == 0
    assert counted(update(profiles=listed, max_profiles=None)) == {"updated": 11}


def test_an_empty_list_succeeds(emulator: Emulator) -> None:
    result = update(profiles=[])
    assert (result["listed"], counted(result)) == (0, {})
    assert emulator.calls() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"say who is meant: profiles=\[…\], or sql=… with sql_conn_id"),
        ({"profiles": [JANE], "sql": "SELECT 1", "sql_conn_id": "w"}, "not both"),
        ({"profiles": [{"external_id": "42", "email": "x@example.com"}]}, "exactly one identifier"),
        ({"profiles": [{"external_id": "42", "new_mail": "x"}]}, "request_id, new_email, new_phone_number, new_ext"),
        ({"profiles": [{"new_email": "x@example.com"}]}, "exactly one identifier"),
        ({"path": "people.xlsx"}, "what kind of file"),
    ],
)
def test_a_task_that_cannot_be_meant_is_refused_when_the_dag_is_parsed(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProfileUpdateOperator(task_id="rectify", **arguments)


def test_a_missing_scope_fails_for_good_and_is_named(emulator: Emulator, jane: str) -> None:
    emulator.fault("scope_missing", scope="profiles:write")
    with pytest.raises(AirflowFailException, match="profiles:write"):
        update(profiles=[JANE])


def test_the_wrong_account_is_refused_before_anything_is_changed(
    emulator: Emulator, connect: Callable[..., None], jane: str
) -> None:
    connect(emulator, account_id="OthEr1")
    with pytest.raises(AirflowFailException, match="account_id says OthEr1"):
        update(profiles=[JANE])
    assert emulator.calls("update_profile") == emulator.calls("get_profiles") == 0


def test_trouble_stops_the_task_and_the_next_try_goes_on(emulator: Emulator) -> None:
    listed = [{"external_id": f"c{n}", "new_email": f"{n}.new@example.com"} for n in range(20)]
    emulator.add_profiles({"external_id": str(one["external_id"])} for one in listed)
    emulator.fault("redirect", endpoint="update_profile", probability=0.5)
    with pytest.raises(KlaviyoAnswerError, match=r"of 20 profiles updated.* a retry leaves those as they are"):
        update(profiles=listed)
    emulator.clear_faults()
    result = update(profiles=listed)
    assert result["updated"] + result["unchanged"] == 20
    assert [profile.email for profile in emulator.profiles()[1:]] == [f"{n}.new@example.com" for n in range(20)]


def test_a_wait_that_is_too_long_is_refused_with_its_length(emulator: Emulator, jane: str) -> None:
    emulator.fault("throttled", endpoint="update_profile", retry_after=3_600)
    with pytest.raises(KlaviyoRateLimitError) as caught:
        update(profiles=[JANE])
    assert caught.value.retry_after_seconds == 3_600


def test_a_task_that_is_killed_changes_nobody_more(
    emulator: Emulator, jane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = ProfileUpdateOperator(task_id="rectify", profiles=[JANE])
    make_plan = operator._plan

    def make_plan_and_be_killed(client: Any) -> Any:
        plan = make_plan(client)
        operator.on_kill()
        return plan

    monkeypatch.setattr(operator, "_plan", make_plan_and_be_killed)
    with pytest.raises(KlaviyoError, match="the task is being killed"):
        operator.execute({})
    assert emulator.calls("update_profile") == 0


def test_a_rendered_list_is_not_shown_nor_run_as_a_template() -> None:
    operator = ProfileUpdateOperator(task_id="rectify", profiles=[{"external_id": "{{ 1 }}", "new_email": "canary"}])
    operator.render_template_fields({})
    assert str(operator.profiles) == "<1 not shown>"
    mapped = ProfileUpdateOperator.partial(task_id="rectify").expand_kwargs([])
    unmapped: Any = mapped.unmap({"profiles": [{"external_id": "1", "new_email": "{{ ti }}@example.com"}]})
    unmapped.render_template_fields({})
    assert unmapped.profiles.value[0]["new_email"] == "{{ ti }}@example.com"


def test_no_variable_of_a_traceback_shows_an_address_or_the_key(emulator: Emulator) -> None:
    for fault in ("key_revoked", "redirect"):
        for endpoint in ("get_profiles", "update_profile"):
            emulator.forget_people()
            emulator.add_profile("canary@example.com", None, "canary-1")
            emulator.fault(fault, endpoint=endpoint)
            operator = ProfileUpdateOperator(task_id="rectify", profiles=[])
            operator.profiles = [{"external_id": "canary-1", "new_email": "canary.new@example.com"}]
            with pytest.raises((KlaviyoError, AirflowFailException)) as caught:
                operator.execute({})
            emulator.clear_faults()
            shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
            ours = shown[shown.index("operators/rectification.py") :]
            assert "canary" not in ours
            assert emulator.account.key not in ours
