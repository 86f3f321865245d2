"""Whole DAG runs, on the Airflow that is installed, against the emulator."""

from __future__ import annotations

import json
import sqlite3
from ast import literal_eval
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_klaviyo.emulator import Emulator


def test_what_another_task_hands_over_is_never_run_as_a_template(
    airflow: Any, emulator: Emulator, connection: Callable[[Emulator], str]
) -> None:
    innocent = emulator.add_profile(email="innocent@example.com")
    jane = emulator.add_profile(email="jane@example.com")
    airflow.environment = {"AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(emulator)}

    run = airflow.run("templates_in_data")

    assert run.returncode == 0, run.stdout + run.stderr
    assert emulator.deleted == {jane}
    assert emulator.has_profile(innocent)
    assert [result["invalid"] for result in airflow.results("expand_kwargs")] == [1, 1]


def test_rows_of_two_columns_delete_nobody(
    airflow: Any, emulator: Emulator, connection: Callable[[Emulator], str], tmp_path: Path
) -> None:
    jane, joe, _ = (emulator.add_profile(email=f"{name}@example.com") for name in ("jane", "joe", "agent"))
    path = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE people (email, handled_by)")
        people = [("jane@example.com", "agent@example.com"), ("joe@example.com", "agent@example.com")]
        database.executemany("INSERT INTO people VALUES (?, ?)", people)
    airflow.environment = {
        "AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(emulator),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(path)}),
    }

    run = airflow.run("rows_of_a_query")

    assert emulator.deleted == {jane, joe}
    states = airflow.states()
    right = {"one_column", "two_columns", "first_row", "all_of_one", "each_of_one[0]", "each_of_one[1]"}
    assert {task for task, state in states.items() if state == "success"} == right
    assert "rows of 2 values" in run.stdout + run.stderr


WRITTEN = ["0x1F", "0x1F-123", "5_1", "5_2", "5_3", "6_1", "6_2", "7_1", "7_2", "8_1", "9_9"]
RETURNED = ["2_1", "{{ '2_2' }}", "3_1", "{{ '3_2' }}", "4_1", "{{ '4_2' }}"]
PHONES = ["+15005550001", "+15005550006"]
QUERIED = ["12_345", "0x1F", "+15005550006", "9_1", "9_2"]


@pytest.mark.parametrize(("dag_id", "more"), [("values_as_text", []), ("values_as_objects", ["1_1", "1_2"])])
def test_no_value_is_changed_on_its_way(
    airflow: Any,
    emulator: Emulator,
    connection: Callable[[Emulator], str],
    tmp_path: Path,
    dag_id: str,
    more: list[str],
) -> None:
    meant = {emulator.add_profile(external_id=one) for one in WRITTEN + RETURNED + more}
    meant |= {emulator.add_profile(phone_number=phone) for phone in PHONES}
    meant |= {emulator.add_profile(email=f"{number}@example.com") for number, _ in enumerate(QUERIED)}
    others = {emulator.add_profile(external_id=one) for one in mistaken(WRITTEN + RETURNED + more + PHONES + QUERIED)}
    jane = emulator.add_profile(email="jane@example.com")
    airflow.environment = {
        "AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(emulator),
        "AIRFLOW_CONN_123": connection(emulator),
        "AIRFLOW_CONN_WAREHOUSE": warehouse_of(tmp_path / "warehouse.db"),
    }

    run = airflow.run(dag_id)

    assert run.returncode == 0, run.stdout + run.stderr
    assert emulator.deleted == meant
    assert all(map(emulator.has_profile, others))
    assert [profile.external_id for profile in emulator.profiles() if profile.id == jane] == ["00_7"]


def mistaken(texts: list[str]) -> set[str]:
    """Return what somebody else is called whom Airflow, or Python, may take these texts for."""
    others = {text.strip("{ '}") for text in texts}
    for text in texts:
        with suppress(ValueError, SyntaxError):
            others.add(str(literal_eval(text.strip("{ '}"))))
    return others - set(texts)


def warehouse_of(path: Path) -> str:
    """Return a connection to a table that has each queried value, and what Python makes of it, as an address."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE people (name, email)")
        rows = [(name, f"{number}@example.com") for number, name in enumerate(QUERIED)]
        rows += [(literal_eval(name), "bystander@example.com") for name in QUERIED]
        database.executemany("INSERT INTO people VALUES (?, ?)", rows)
    return json.dumps({"conn_type": "sqlite", "host": str(path)})
