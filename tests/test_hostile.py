"""Whatever a warehouse holds: whoever is listed is deleted, nobody else is, and no row stops the others."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator

JANE = "jane@example.com"
MEGABYTE = "x" * 1_000_000
# What a row may hold, and what becomes of it when nobody in Klaviyo is called that.
ROWS: dict[str, tuple[object, str]] = {
    "a filter that would match everybody": ('x"]),any(email,["bystander@example.com', "invalid"),
    "a filter that is closed early": ('x@example.com"])', "invalid"),
    "a quote in an address": ('"bystander"@example.com', "absent"),
    "a backslash before the closing quote": ("x@example.com\\", "invalid"),
    "parameters of a URL": ("x@example.com&page[size]=100&filter=", "invalid"),
    "a header after a line break": ("x@example.com\r\nAuthorization: other", "invalid"),
    "a NUL": ("x\0@example.com", "invalid"),
    "a letter that cannot be printed": ("x\u200e@example.com", "invalid"),
    "half of a surrogate pair": ("x\ud800@example.com", "invalid"),
    "a path instead of a profile id": ("../accounts", "invalid"),
    "a wildcard": ("%@example.com", "absent"),
    "two people in one cell": (f"{JANE},bystander@example.com", "invalid"),
    "a megabyte": (f"{MEGABYTE}@example.com", "invalid"),
    "nothing": ("", "invalid"),
    "white space": ("   ", "invalid"),
    "no value": (None, "invalid"),
    "a whole number": (0, "invalid"),
    "a number beyond all sizes": (2**62, "invalid"),
    "a fraction": (1.5, "invalid"),
    "bytes": (b"bystander@example.com", "invalid"),
    "text that says there is no value": ("NULL", "invalid"),
    "an error of a spreadsheet": ("#N/A", "invalid"),
    "a template": ("{{conn.klaviyo_default.password}}@example.com", "absent"),
}


@pytest.fixture(autouse=True)
def ledger(emulator: Emulator, account: Callable[[Emulator], str], ledger: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ledger, and a Klaviyo with somebody in it whom nobody has listed."""
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", account(emulator))
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", ledger.connection)
    emulator.add_profile(email="bystander@example.com", external_id="0")
    return ledger


@pytest.fixture
def jane(emulator: Emulator) -> str:
    return emulator.add_profile(email=JANE)


def context(task_id: str) -> Any:
    of = {"dag_id": "erase", "run_id": "run", "task_id": task_id, "map_index": -1, "max_tries": 0}
    return {"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)}


def erase(**source: Any) -> None:
    """Plan a list and work it off."""
    for batch in DeletionPlanOperator(task_id="plan", **source).execute(context("plan")):
        ProfileDeletionOperator(task_id="delete", batch=batch).execute(context("delete"))


@pytest.mark.parametrize("row", ROWS)
def test_a_row_harms_nobody_and_stops_nobody(
    emulator: Emulator, ledger: Any, jane: str, row: str, caplog: pytest.LogCaptureFixture
) -> None:
    value, outcome = ROWS[row]
    erase(profiles=[value, JANE])
    assert emulator.deleted == {jane}
    assert ledger.rows("SELECT number, outcome FROM klaviyo_requests ORDER BY number") == [
        (1, outcome),
        (2, "requested"),
    ]
    if isinstance(value, str) and len(value.strip()) > 3:
        assert value.strip() not in caplog.text


def test_a_table_of_all_of_them_does_not_either(emulator: Emulator, ledger: Any, jane: str, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    # SQLite cannot keep half a surrogate pair.
    values = [value for name, (value, _) in ROWS.items() if "surrogate" not in name]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE people (email)")
        connection.executemany("INSERT INTO people VALUES (?)", [(value,) for value in [*values, JANE]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
        erase(sql="SELECT email FROM people", sql_conn_id="warehouse", max_invalid=1)
    assert emulator.deleted == {jane}
    (listed,) = ledger.rows("SELECT listed FROM klaviyo_plans")
    assert listed == (len(values) + 1,)
    kept = ledger.rows("SELECT count(*), count(identifier) FROM klaviyo_requests WHERE outcome != 'requested'")
    assert kept[0][1] == 0


def test_an_external_id_of_a_bad_join_does_not_take_half_the_account(emulator: Emulator, ledger: Any) -> None:
    for number in range(50):
        emulator.add_profile(email=f"customer.{number}@example.com", external_id="unknown")
    erase(profiles=[{"external_id": "unknown"}])
    assert emulator.deleted == set()
    assert ledger.rows("SELECT outcome FROM klaviyo_requests") == [("held",)]


@pytest.mark.parametrize("when", [datetime(1, 1, 1, tzinfo=UTC), "30 February 2026", -1, b"today", "9" * 5_000])
def test_a_date_that_is_none_delays_nobody(emulator: Emulator, jane: str, when: object) -> None:
    erase(profiles=[{"email": JANE, "received_at": when, "regulation": "none", "request_id": "\0"}])
    assert emulator.deleted == {jane}


def test_millions_of_rows_too_many_delete_nobody(emulator: Emulator) -> None:
    """A join gone wrong: every row of one table with every row of another."""
    ids = emulator.add_profiles({"email": f"customer.{number}@example.com"} for number in range(2_000))

    def people() -> Iterator[str]:
        for number in range(10_000_000):
            read.append(number)
            yield f"customer.{number}@example.com"

    read: list[int] = []
    operator = ProfileDeletionOperator(task_id="delete", profiles=[])
    operator.profiles = people()
    with pytest.raises(AirflowFailException, match=r"matches more than 1,000 Klaviyo profiles.* Nothing was deleted"):
        operator.execute(context("delete"))
    assert emulator.deleted == set()
    assert all(map(emulator.has_profile, ids))
    assert len(read) < 10_000
