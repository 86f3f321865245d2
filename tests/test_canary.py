"""No address and no key anywhere but where the DAG's author put them: a canary in every place that Airflow keeps."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_klaviyo.emulator import Emulator

CANARY = "canary.tweet"
KEY = "pk_canary_0123456789abcdef"
AUTHORS_OWN = ("people", "mapped_people")


def everything_kept(airflow: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every row of the metadata database and of every log file."""
    with closing(sqlite3.connect(airflow.home / "airflow.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                if table == "xcom" and row[names.index("task_id")] in AUTHORS_OWN:
                    continue
                yield f"table {table}", " ".join(map(str, row))
    for path in (airflow.home / "logs").rglob("*"):
        yield f"log {path.name}", path.name
        if path.is_file():
            yield f"log {path.name}", path.read_text(errors="replace")


def assert_nothing_personal(run: Any, airflow: Any) -> None:
    kept = [("output", run.stdout + run.stderr), *everything_kept(airflow)]
    assert {"table rendered_task_instance_fields", "table task_instance"} <= {place for place, _ in kept}
    for place, text in kept:
        lower = text.lower()
        for secret in (CANARY, "555010", KEY):
            assert secret not in lower, f"{secret} in {place}: …{text[max(0, lower.index(secret) - 300) :][:600]}"


@pytest.fixture
def klaviyo() -> Iterator[Emulator]:
    with Emulator(limit_factor=1_000, deletion_seconds=1, key=KEY) as emulator:
        yield emulator


def people(way: str) -> list[str]:
    return [f"{CANARY}.{way}+1@example.com", f"Canary.Tweet.{way}@example.com", "+15005550100", "canary.tweet no mail"]


def test_a_run_in_every_mode_leaves_nothing(
    airflow: Any, klaviyo: Emulator, connection: Callable[[Emulator], str]
) -> None:
    listed = {way: people(way) for way in ("poke", "reschedule", "defer", "addresses", "mapped")}
    for emails in listed.values():
        klaviyo.add_profile(email=emails[0].lower())
    klaviyo.add_profile(phone_number="+15005550100", email=f"{CANARY}.by.phone@example.com")
    airflow.environment = {"AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(klaviyo), "PEOPLE": json.dumps(listed)}

    run = airflow.run("people_from_a_task")

    assert run.returncode == 0, run.stdout + run.stderr
    assert len(klaviyo.deleted) == 6
    assert_nothing_personal(run, airflow)


@pytest.mark.parametrize("fault", ["deletion_refused", "unasked_profile"])
def test_a_run_with_a_fault_leaves_nothing(
    fault: str,
    airflow: Any,
    klaviyo: Emulator,
    warehouse: Callable[..., Path],
    connection: Callable[[Emulator], str],
) -> None:
    for email in people("failing")[:2]:
        klaviyo.add_profile(email=email.lower())
    klaviyo.add_profile(email=f"{CANARY}.decoy@example.com")
    klaviyo.fault(fault)
    path = warehouse(*people("failing"), f"{CANARY}.absent@example.com", f"{CANARY}.\x00@example.com")
    airflow.environment = {
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(path)}),
        "AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(klaviyo),
        # Not everything: Airflow 3 itself logs secrets at this level when it tests a DAG.
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "httpx=DEBUG httpcore=DEBUG airflow_provider_klaviyo=DEBUG",
    }

    run = airflow.run("people_in_a_warehouse")

    assert (run.returncode == 0) == (fault == "unasked_profile"), run.stdout + run.stderr
    assert len(klaviyo.profiles()) == (1 if fault == "unasked_profile" else 3)
    assert_nothing_personal(run, airflow)
