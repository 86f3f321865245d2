"""Run the example DAG once, on a throw-away Airflow and against the Klaviyo emulator at Klaviyo's real limits.

Everything lives in a temporary folder that is removed in the end; nothing touches an Airflow of your own.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow_provider_klaviyo.emulator import Emulator

DAG_ID = "delete_suppressed_profiles"
DAGS = Path(__file__).resolve().parent
LISTED, PRESENT, NOT_LISTED = 200, 30, 50


def main() -> int:
    """Set everything up, run the DAG, print what came of it."""
    home = Path(tempfile.mkdtemp(prefix="klaviyo-demo-"))
    emulator = Emulator(latency_seconds=0.15, deletion_seconds=(2, 20))
    with emulator:
        others = fill(emulator, home / "warehouse.db")
        environment = settings(home, emulator)
        print(f"A throw-away Airflow in {home}, a Klaviyo emulator at {emulator.url}")
        print(f"The warehouse lists {LISTED} people; Klaviyo has {PRESENT} of them, and {NOT_LISTED} others\n")
        airflow("db", "migrate", home=home, environment=environment)
        airflow("pools", "set", "klaviyo_deletions", "4", "Deletions", home=home, environment=environment)
        with progress(emulator):
            succeeded = airflow("dags", "test", DAG_ID, home=home, environment=environment)
        if not succeeded:
            print(f"\nThe DAG failed; its log is {home / 'airflow.log'}", file=sys.stderr)
            return 1
        print_table(
            result(home / "airflow.db"),
            kept(home / "ledger.db"),
            emulator,
            sum(map(emulator.has_profile, others)),
        )
    shutil.rmtree(home)
    return 0


def fill(emulator: Emulator, warehouse: Path) -> list[str]:
    """Put people into the warehouse and into Klaviyo; return the profile ids of those that nobody listed."""
    listed = [f"person.{number}@example.com" for number in range(LISTED - 3)]
    for email in random.sample(listed, PRESENT):
        emulator.add_profile(email=email)
    today = datetime.now(UTC).date()
    people = [*listed, "not an address", None]
    rows = [(number, email, str(today - timedelta(days=number % 28))) for number, email in enumerate(people)]
    # The same request once more, written another way.
    rows.append((0, listed[0].upper(), str(today)))
    with closing(sqlite3.connect(warehouse)) as connection, connection:
        connection.execute("CREATE TABLE suppression_list (request_id INTEGER, email TEXT, received_at TEXT)")
        connection.executemany("INSERT INTO suppression_list VALUES (?, ?, ?)", rows)
    return [emulator.add_profile(email=f"customer.{number}@example.com") for number in range(NOT_LISTED)]


def settings(home: Path, emulator: Emulator) -> dict[str, str]:
    """Return the environment of an Airflow that has the example DAG, the warehouse and Klaviyo, and nothing else."""
    klaviyo = {
        "conn_type": "klaviyo",
        "host": emulator.url,
        "password": emulator.account.key,
        "extra": {"account_id": emulator.account.id, "fingerprint_key": secrets.token_urlsafe(32)},
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(home / "warehouse.db")}),
        "AIRFLOW_CONN_KLAVIYO_LEDGER": json.dumps({"conn_type": "sqlite", "host": str(home / "ledger.db")}),
        "AIRFLOW_CONN_KLAVIYO_DEFAULT": json.dumps(klaviyo),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def airflow(*arguments: str, home: Path, environment: dict[str, str]) -> bool:
    """Run an Airflow command, its output going to the log; tell whether it succeeded."""
    print(f"$ airflow {' '.join(arguments)}", flush=True)
    with (home / "airflow.log").open("ab") as log:
        command = [sys.executable, "-m", "airflow", *arguments]
        return subprocess.run(command, env=environment, stdout=log, stderr=log, check=False).returncode == 0


@contextmanager
def progress(emulator: Emulator) -> Iterator[None]:
    """Print every few seconds how far the deletions are."""
    started, finished = time.monotonic(), threading.Event()

    def watch() -> None:
        while not finished.wait(10):
            requested, gone = len(emulator.deletion_requests), len(emulator.deleted)
            then = "; the sensor sees so at its next look" if gone == PRESENT else ""
            print(f"  {time.monotonic() - started:4.0f} s: {requested} deletions requested, {gone} profiles gone{then}")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def result(database: Path) -> dict[str, int]:
    """Return what the plan's and the sensor's task have left in Airflow."""
    query = "SELECT value FROM xcom WHERE dag_id = ? AND task_id = ? AND key = ?"
    with closing(sqlite3.connect(database)) as connection:
        (plan,) = connection.execute(query, [DAG_ID, "plan", "plan"]).fetchone()
        (counts,) = connection.execute(query, [DAG_ID, "confirm", "return_value"]).fetchone()
    both = {**json.loads(plan), **json.loads(counts)}
    names = ["listed", "duplicates", "known", *json.loads(counts)]
    return {name: both[name] for name in names}


def kept(database: Path) -> dict[str, int]:
    """Return what the ledger keeps, and what it does not."""
    queries = {
        "requests": "SELECT count(*) FROM klaviyo_requests",
        "steps recorded": "SELECT count(*) FROM klaviyo_events",
        "still to be deleted, or confirmed": "SELECT count(*) FROM klaviyo_requests WHERE outcome IN "
        "('planned', 'requested')",
        "addresses": "SELECT count(identifier) FROM klaviyo_requests",
    }
    with closing(sqlite3.connect(database)) as connection:
        return {name: connection.execute(query).fetchone()[0] for name, query in queries.items()}


def print_table(counts: dict[str, int], ledger: dict[str, int], emulator: Emulator, others_left: int) -> None:
    """Print what became of whom, in numbers, and what the emulator saw."""
    rows: list[tuple[str, object]] = [("What Airflow says", "")]
    rows += [(f"  {name}", number) for name, number in counts.items()]
    rows += [("What the ledger keeps", "")]
    rows += [(f"  {name}", number) for name, number in ledger.items()]
    rows += [("What Klaviyo saw", "")]
    for endpoint in ("get_account", "get_profiles", "profile_deletion"):
        rows += [(f"  {endpoint} calls", emulator.calls(endpoint))]
    rows += [
        ("  answered 429 (too many calls)", emulator.calls(status=429)),
        ("  listed profiles gone", f"{len(emulator.deleted)} of {PRESENT}"),
        ("  profiles of others left", f"{others_left} of {NOT_LISTED}"),
    ]
    print()
    for name, value in rows:
        print(f"{name:<38}{value:>10}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
