"""Whole DAG runs, on the Airflow that is installed, against the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_klaviyo.emulator import Emulator

EXAMPLES = Path(__file__).resolve().parents[1] / "example_dags"


def test_the_example_deletes_everyone_listed_and_nobody_else(
    airflow: Any, emulator: Emulator, warehouse: Callable[..., Path], connection: Callable[[Emulator], str]
) -> None:
    listed = [f"person.{number}@example.com" for number in range(120)]
    present = {emulator.add_profile(email=email) for email in listed[::10]}
    others = [emulator.add_profile(email=f"customer.{number}@example.com") for number in range(5)]
    path = warehouse(*listed, "not an address", None)
    airflow.dags = EXAMPLES
    airflow.environment = {
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(path)}),
        "AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(emulator),
    }

    run = airflow.run("delete_suppressed_profiles")

    assert run.returncode == 0, run.stdout + run.stderr
    assert emulator.deleted == present
    assert all(emulator.has_profile(profile_id) for profile_id in others)
    results = airflow.results("delete")
    assert len(results) == 2
    assert sum(result["requested"] for result in results) == len(present)
    assert sum(result["invalid"] for result in results) == 2
    assert airflow.results("confirm") == [{"confirmed": len(present), "reappeared": 0}]


def test_people_from_another_task_are_deleted_and_confirmed_in_every_mode(
    airflow: Any, connection: Callable[[Emulator], str]
) -> None:
    ways = ["poke", "reschedule", "defer", "addresses", "mapped"]
    people = {way: [f"{way}.{number}@example.com" for number in range(3)] for way in ways}
    with Emulator(limit_factor=1_000, deletion_seconds=1) as emulator:
        present = {emulator.add_profile(email=email) for way in ways for email in people[way][:2]}
        airflow.environment = {
            "AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(emulator),
            "PEOPLE": json.dumps(people),
        }

        run = airflow.run("people_from_a_task")

        assert run.returncode == 0, run.stdout + run.stderr
        assert emulator.deleted == present
    assert set(airflow.states().values()) == {"success"}
    for way in ways:
        total = 3 if way == "addresses" else 2
        assert airflow.results(way) == [{"confirmed": total, "reappeared": 0}], way
    assert run.stdout.count("2 profiles are still there") >= len(ways)
    assert [result["absent"] for result in airflow.results("one_by_one")] == [0, 0, 1]


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
