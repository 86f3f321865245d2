"""Two Airflows on one ledger, whose DAG, run and task have the same names, leave each other's plans alone."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_klaviyo.emulator import Emulator

AIRFLOW_2 = version("apache-airflow").startswith("2.")


@pytest.fixture
def deployments(
    airflow: Any, tmp_path: Path, emulator: Emulator, account: Callable[[Emulator], str], ledger: Any
) -> list[Any]:
    """Two Airflows, each with a metadata database and a warehouse of its own."""
    second_home = tmp_path / "second airflow"
    shutil.copytree(airflow.home, second_home)
    found = [airflow, type(airflow)(second_home, airflow.dags)]
    for deployment in found:
        deployment.environment = {
            "AIRFLOW_CONN_KLAVIYO_DEFAULT": account(emulator),
            "AIRFLOW_CONN_KLAVIYO_LEDGER": ledger.connection,
            "AIRFLOW_CONN_WAREHOUSE": json.dumps(
                {"conn_type": "sqlite", "host": str(deployment.home / "warehouse.db")}
            ),
        }
    return found


def plan(deployment: Any, *emails: str) -> None:
    """Run the same DAG for the same date."""
    with closing(sqlite3.connect(deployment.home / "warehouse.db")) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS suppression_list")
        connection.execute("CREATE TABLE suppression_list (email TEXT)")
        connection.executemany("INSERT INTO suppression_list VALUES (?)", [(email,) for email in emails])
    if AIRFLOW_2:
        run = deployment.airflow("dags", "test", "one_plan", "2026-01-01")
    else:
        run = subprocess.run(
            [sys.executable, "-W", "ignore", str(deployment.dags / "one_plan.py")],
            env=deployment.settings() | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert deployment.states() == {"plan": "success"}, run.stdout + run.stderr


def test_each_deployment_finds_its_own_plan_and_no_other(
    deployments: list[Any], emulator: Emulator, ledger: Any
) -> None:
    for name in ("jane", "joe"):
        emulator.add_profile(f"{name}@example.com")
    first, second = deployments
    plan(first, "jane@example.com")
    plan(second, "joe@example.com")
    states = "SELECT state FROM klaviyo_plans ORDER BY began_at"
    assert ledger.rows(states) == [("ready",), ("ready",)], "neither has withdrawn the other's"
    plan(second, "joe@example.com")
    assert ledger.rows(states) == [("ready",), ("ready",)], "run again, it finds its own"
    plan(first)  # Whose list names nobody any more.
    assert ledger.rows(states)[0] == ("withdrawn",), "corrected, it withdraws its own"
    assert ledger.rows(states)[1] == ("ready",)
