"""Whole DAG runs, on the Airflow that is installed, against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
