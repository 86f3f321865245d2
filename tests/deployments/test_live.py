"""A whole Airflow, of as many processes as in earnest, deletes everyone listed once; Airflow 3 also while things die.

With `-s` it tells what happens as it happens; of a failure pytest shows it anyway.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from deployment import Deployment
from run import Run
from service import processes_of

pytestmark = pytest.mark.live

DAG_ID = "delete_suppressed_profiles"
DAG = Path(__file__).resolve().parents[2] / "example_dags" / f"{DAG_ID}.py"
# So many deletions have to go through before the next thing is killed: by then all is well again.
STEP = 40


@pytest.fixture
def airflow(tmp_path: Path) -> Iterator[Deployment]:
    """All processes of an Airflow, whose Klaviyo takes eight times as many calls.

    A deletion takes so long that it can be requested once more, and is counted, until whatever was killed is back.
    """
    with Deployment(tmp_path, DAG, limit_factor=8, deletion_seconds=30) as airflow:
        yield airflow


@pytest.fixture
def run(airflow: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Run:
    """A run of the example that was not triggered yet."""
    caplog.set_level(logging.WARNING, logger="httpx")  # Hundreds of looks would hide what happened.
    for name in ("WAREHOUSE", "KLAVIYO_LEDGER"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", airflow.environment[f"AIRFLOW_CONN_{name}"])
    return Run(airflow, DAG_ID)


if AIRFLOW_V_3_0_PLUS:

    def test_everyone_listed_is_deleted_once_whatever_is_killed(airflow: Deployment, run: Run) -> None:
        run.begin(present=940, absent=60)
        run.await_deletions(STEP)
        for kill in (kill_a_task, kill_a_worker, kill_the_scheduler, kill_postgresql, kill_klaviyo):
            kill(airflow, run)
            run.await_deletions(STEP)
        kill_the_triggerer(airflow, run)
        run.end()
        assert_all_is_well(run)
        repeated, tries = run.repeated(), run.tries("delete")
        print(f"calls that were made twice: {repeated}; tries of each batch: {tries}")
        # Each try but the last may end in the midst of a call, which the next try makes again. And Klaviyo may end in
        # the midst of one call of each batch, which the same try makes again.
        begun_anew, batches = sum(tries) - len(tries), len(tries)
        assert sum(repeated.values()) <= begun_anew + batches, repeated

else:

    def test_everyone_listed_is_deleted_once(airflow: Deployment, run: Run) -> None:
        run.begin(present=60, absent=20)
        run.end()
        assert_all_is_well(run)
        assert sorted(airflow.deletions()["requests"]) == sorted(run.present)


def assert_all_is_well(run: Run) -> None:
    """See who is gone and who is not, and that the ledger knows of each one end, and of no address."""
    assert set(run.airflow.deletions()["deleted"]) == set(run.present)
    assert run.airflow.profiles() == run.others
    (one_end,) = run.ask_ledger("SELECT count(DISTINCT profile_id) FROM klaviyo_requests WHERE outcome = 'confirmed'")
    assert one_end == (len(run.present),)
    # One of them is listed twice, under two request ids.
    rows = run.ask_ledger("SELECT outcome, count(*), count(identifier) FROM klaviyo_requests GROUP BY outcome")
    assert set(rows) == {("confirmed", len(run.present) + 1, 0), ("absent", run.absent, 0), ("invalid", 2, 0)}
    ends = run.ask_ledger(
        "SELECT count(*), count(DISTINCT (profile_id, number)) FROM klaviyo_events "
        "WHERE event IN ('confirmed', 'absent', 'reappeared', 'refused', 'held') AND profile_id IS NOT NULL"
    )
    assert ends == [(len(run.present) + 1, len(run.present) + 1)]


def kill_a_task(airflow: Deployment, run: Run) -> None:
    """Kill the process of a task; its worker sees it end."""
    victim = run.await_task("delete", "running")
    run.kill(f"the task of batch {victim['map_index']}", lambda: kill_process_of_a_task(airflow, victim["pid"]))
    run.await_task("delete", "running", victim["map_index"], victim["try_number"] + 1)


def kill_a_worker(airflow: Deployment, run: Run) -> None:
    """Kill the process of a task and the worker that runs it; nobody sees it end."""
    victim = run.await_task("delete", "running")
    worker = psutil.Process(victim["pid"]).ppid()

    def kill() -> None:
        kill_process_of_a_task(airflow, worker)
        kill_process_of_a_task(airflow, victim["pid"])

    run.kill(f"the worker of batch {victim['map_index']}", kill)
    run.await_task("delete", "running", victim["map_index"], victim["try_number"] + 1)


def kill_process_of_a_task(airflow: Deployment, pid: int) -> None:
    """Kill a process, which the scheduler has to have started."""
    scheduler = airflow.services["scheduler"]
    assert os.getsid(pid) in scheduler.sessions
    assert pid not in scheduler.sessions
    os.kill(pid, signal.SIGKILL)


def kill_the_scheduler(airflow: Deployment, run: Run) -> None:
    """Kill the scheduler alone: its workers go on, and their tasks are started again before they are stopped."""
    orphan = run.await_task("delete", "running")
    run.kill("the scheduler", lambda: airflow.kill("scheduler"))
    run.await_task("delete", "running", orphan["map_index"], orphan["try_number"] + 1)
    scheduler = airflow.services["scheduler"]
    airflow.wait_for("the orphaned task to end", lambda: orphan["pid"] not in processes_of(scheduler.sessions))


def kill_postgresql(airflow: Deployment, run: Run) -> None:
    """Kill the database of Airflow and of the ledger."""
    run.kill("PostgreSQL", airflow.kill_postgresql)


def kill_klaviyo(airflow: Deployment, run: Run) -> None:
    """Kill Klaviyo."""
    run.kill("Klaviyo", lambda: airflow.kill("klaviyo"))


def kill_the_triggerer(airflow: Deployment, run: Run) -> None:
    """Kill the triggerer while it waits for the last deletions."""
    run.await_task("confirm", "deferred")
    run.kill("the triggerer", lambda: airflow.kill("triggerer"))
