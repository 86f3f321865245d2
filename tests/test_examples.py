"""The example DAGs, as they are: what they are made of, and what a whole run of each comes to."""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS
from airflow.providers.postgres.hooks.postgres import PostgresHook

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator

EXAMPLES = Path(__file__).resolve().parents[1] / "example_dags"
DELETIONS = "klaviyo_deletions"
SHAPES: dict[str, dict[str, tuple[str, set[str]]]] = {
    "delete_suppressed_profiles": {
        "plan": ("default_pool", set()),
        "delete": (DELETIONS, {"plan"}),
        "confirm": ("default_pool", {"plan", "delete"}),
    },
    "delete_from_several_accounts": {
        f"{account}.{task}": (pool or f"klaviyo_{account}", {f"{account}.{name}" for name in before})
        for account in ("eu", "us")
        for task, pool, before in [
            ("plan", "default_pool", ()),
            ("delete", "", ("plan",)),
            ("confirm", "default_pool", ("plan", "delete")),
        ]
    },
    "handle_data_subject_requests": {
        "restrict": ("default_pool", set()),
        "access": ("default_pool", set()),
        "rectify": ("default_pool", set()),
        "plan": ("default_pool", {"access"}),
        "delete": (DELETIONS, {"plan"}),
        "confirm": ("default_pool", {"plan", "delete"}),
        "outcomes": ("default_pool", {"restrict", "access", "rectify", "confirm"}),
    },
    "watch_deadlines": {"outstanding": ("default_pool", set())},
}
if AIRFLOW_V_3_2_PLUS:
    SHAPES["approve_large_deletions"] = {
        "plan": ("default_pool", set()),
        "is_held": ("default_pool", {"plan"}),
        "approve": ("default_pool", {"is_held"}),
        "release": ("default_pool", {"plan", "approve"}),
        "delete": (DELETIONS, {"plan", "release"}),
        "confirm": ("default_pool", {"plan", "delete"}),
    }


@pytest.fixture(scope="module")
def bag() -> Any:
    """All examples, read as Airflow reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own.
        if AIRFLOW_V_3_0_PLUS:
            from airflow.dag_processing.dagbag import DagBag

            return DagBag(dag_folder=str(EXAMPLES))
        from airflow.models.dagbag import DagBag as OldDagBag

        return OldDagBag(dag_folder=str(EXAMPLES), include_examples=False)


def test_all_are_read_without_an_error(bag: Any) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == set(SHAPES)


@pytest.mark.parametrize("dag_id", SHAPES)
def test_each_task_has_its_place_and_its_pool(bag: Any, dag_id: str) -> None:
    tasks = bag.dags[dag_id].task_dict.values()
    assert {task.task_id: (task.pool, set(task.upstream_task_ids)) for task in tasks} == SHAPES[dag_id]


@pytest.mark.parametrize("dag_id", SHAPES)
def test_its_pools_are_explained(bag: Any, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    pools = {task.pool for task in dag.task_dict.values()} - {"default_pool"}
    explained = dag.doc_md.replace("klaviyo_eu", "klaviyo_eu klaviyo_us")
    assert all(pool in explained for pool in pools)
    assert ("airflow pools set" in dag.doc_md) == bool(pools)


@pytest.fixture
def deployed(
    airflow: Any, emulator: Emulator, ledger: Any, warehouse: Callable[..., Path], account: Callable[[Emulator], str]
) -> Callable[..., Any]:
    """Return an Airflow that has the examples, an emulator, a ledger, and a warehouse with this list."""

    def deploy(*listed: object) -> Any:
        airflow.dags = EXAMPLES
        airflow.environment = {
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(warehouse(*listed))}),
            "AIRFLOW_CONN_KLAVIYO_DEFAULT": account(emulator),
            "AIRFLOW_CONN_KLAVIYO_LEDGER": ledger.connection,
        }
        return airflow

    return deploy


def test_the_example_deletes_everyone_listed_and_nobody_else(
    deployed: Callable[..., Any], emulator: Emulator, ledger: Any
) -> None:
    listed = [f"person.{number}@example.com" for number in range(620)]
    present = {emulator.add_profile(email=email) for email in listed[:510]}
    others = [emulator.add_profile(email=f"customer.{number}@example.com") for number in range(5)]
    airflow = deployed(*listed, listed[0].upper(), "not an address", None)

    run = airflow.run("delete_suppressed_profiles")

    assert run.returncode == 0, run.stdout + run.stderr
    assert emulator.deleted == present
    assert all(emulator.has_profile(profile_id) for profile_id in others)
    assert [(one["batch"], one["requested"], one["outstanding"]) for one in airflow.results("delete")] == [
        (0, 501, 0),
        (1, 10, 0),
    ]
    (counts,) = airflow.results("confirm")
    assert {name: number for name, number in counts.items() if number} == {
        "confirmed": 511,
        "absent": 110,
        "invalid": 2,
    }
    assert ledger.rows("SELECT count(*), count(identifier), count(request_id) FROM klaviyo_requests") == [(623, 0, 623)]


@pytest.fixture
def two_accounts() -> Iterator[dict[str, Emulator]]:
    with Emulator(limit_factor=1_000, deletion_seconds=0) as eu, Emulator(limit_factor=1_000, deletion_seconds=0) as us:
        yield {"eu": eu, "us": us}


def test_each_account_is_worked_off_on_its_own_with_one_ledger_on_postgresql(
    deployed: Callable[..., Any],
    two_accounts: dict[str, Emulator],
    account: Callable[[Emulator], str],
    postgres_connection: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    airflow = deployed("jane@example.com", "joe@example.com", "nowhere@example.com")
    eu, us = two_accounts.values()
    present = {eu.add_profile(email="jane@example.com"), eu.add_profile(email="joe@example.com")}
    other = us.add_profile(email="other@example.com")
    airflow.environment |= {
        "AIRFLOW_CONN_KLAVIYO_LEDGER": postgres_connection,
        "AIRFLOW_CONN_KLAVIYO_EU": account(eu),
        "AIRFLOW_CONN_KLAVIYO_US": account(us),
    }

    run = airflow.run("delete_from_several_accounts")

    assert run.returncode == 0, run.stdout + run.stderr
    assert (eu.deleted, us.deleted) == (present, set())
    assert us.has_profile(other)
    nobody_left = {"us.plan": "success", "us.delete": "skipped", "us.confirm": "success"}
    assert airflow.states() == {"eu.plan": "success", "eu.delete[0]": "success", "eu.confirm": "success"} | nobody_left
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRESQL", postgres_connection)
    kept = "SELECT account_id, outcome, count(*), count(identifier) FROM klaviyo_requests GROUP BY 1, 2"
    assert set(PostgresHook(postgres_conn_id="postgresql").get_records(kept)) == {
        (eu.account.id, "absent", 1, 0),
        (eu.account.id, "confirmed", 2, 0),
        (us.account.id, "absent", 3, 0),
    }


def test_each_request_goes_to_its_operator_and_the_outcomes_to_one_place(
    deployed: Callable[..., Any], emulator: Emulator, ledger: Any, tmp_path: Path
) -> None:
    airflow = deployed()
    see, correct, spare, forget, other = (
        emulator.add_profile(email=f"{name}@example.com", external_id=f"customer-{name}")
        for name in ("see", "correct", "spare", "forget", "other")
    )
    emulator.add_to_list(see, emulator.add_list("Newsletter"))
    emulator.add_event(see, "Placed Order", {"value": 42})
    rows = [
        ("r-1", "access", "see@example.com", None, None, None),
        ("r-2", "rectification", None, "customer-correct", "corrected@example.com", None),
        ("r-3", "restriction", "spare@example.com", None, None, None),
        ("r-4", "erasure", "forget@example.com", None, None, None),
        ("r-5", "erasure", "nobody@example.com", None, None, None),
        ("r-6", "erasure", "other@example.com", None, None, "2026-11-01"),
    ]
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse, warehouse:
        warehouse.execute(
            "CREATE TABLE data_subject_requests (request_id TEXT, kind TEXT, email TEXT, external_id TEXT, new_email "
            "TEXT, closed_at TEXT, new_phone_number TEXT, received_at TEXT, regulation TEXT)"
        )
        warehouse.executemany("INSERT INTO data_subject_requests VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL)", rows)
    airflow.environment["AIRFLOW_VAR_KLAVIYO_EXPORTS"] = f"file://{tmp_path / 'exports'}"

    run = airflow.run("handle_data_subject_requests")

    assert run.returncode == 0, run.stdout + run.stderr
    assert emulator.deleted == {forget}
    assert spare in emulator.suppressed
    assert not {see, correct, other} & emulator.suppressed
    assert {one.id: one.email for one in emulator.profiles()} == {
        see: "see@example.com",
        correct: "corrected@example.com",
        spare: "spare@example.com",
        other: "other@example.com",
    }
    (path,) = (tmp_path / "exports").iterdir()
    (profile,) = json.loads(path.read_text())["profiles"]
    assert (path.name, profile["id"], len(profile["lists"]), len(profile["events"])) == ("r-1.json", see, 1, 1)
    (outcomes,) = airflow.results("outcomes")
    assert outcomes == {
        "restriction": {"listed": 1, "suppressed": 1},
        "access": {"listed": 1, "exported": 1, "profiles": 1},
        "rectification": {"listed": 1, "updated": 1},
        "erasure": {"confirmed": 1, "absent": 1},
    }
    suppressed = "SELECT DISTINCT profile_id FROM klaviyo_events WHERE event = 'suppressed'"
    assert ledger.rows(suppressed) == [(forget,)]


@pytest.fixture
def watch(
    bag: Any, emulator: Emulator, ledger: Any, account: Callable[[Emulator], str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Return the task that asks the ledger, after a plan for one person was registered."""

    def watch(received_at: str) -> Any:
        monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", account(emulator))
        monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", ledger.connection)
        emulator.add_profile(email="jane@example.com")
        plan = DeletionPlanOperator(
            task_id="plan", profiles=[{"email": "jane@example.com", "received_at": received_at}]
        )
        ti = Mock(dag_id="dag", run_id="run", task_id="plan", map_index=-1)
        plan.execute({"ti": ti})
        return bag.dags["watch_deadlines"].get_task("outstanding").python_callable

    return watch


def test_what_is_outstanding_is_counted(watch: Callable[..., Any]) -> None:
    today = pendulum.now("UTC").to_date_string()
    assert watch(today)() == {"planned": 1, "requested": 0, "overdue": 0}


@pytest.mark.parametrize(("days", "overdue"), [(26, 0), (40, 1)])
def test_a_deadline_that_is_near_or_over_is_a_failure(watch: Callable[..., Any], days: int, overdue: int) -> None:
    outstanding = watch(pendulum.now("UTC").subtract(days=days).to_date_string())
    with pytest.raises(AirflowFailException, match=f"first of 1 requests .* {overdue} are overdue"):
        outstanding()
