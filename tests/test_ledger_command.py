"""`python -m airflow_provider_klaviyo.ledger`: finds connections as Airflow does, and does what it says."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_klaviyo import commands
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator

CANARY = "canary.tweet"


def context(run_id: str) -> Any:
    of = {"dag_id": "erase", "run_id": run_id, "task_id": "plan", "map_index": -1, "max_tries": 0}
    return {"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)}


def plan(*emails: str, run_id: str, **arguments: Any) -> list[dict[str, Any]]:
    operator = DeletionPlanOperator(task_id="plan", profiles=list(emails), fail_when_held=False, **arguments)
    return list(operator.execute(context(run_id)))


def drain(batches: list[dict[str, Any]]) -> list[int]:
    """Work batches off; return how many profiles of each were deleted."""
    tasks = (ProfileDeletionOperator(task_id="delete", batch=batch) for batch in batches)
    return [task.execute(context("later"))["requested"] for task in tasks]


@pytest.fixture
def connections(
    emulator: Emulator, account: Callable[[Emulator], str], ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The connections, which this process has in its environment, by their ids."""
    found = {"klaviyo_default": account(emulator), "klaviyo_ledger": ledger.connection}
    for conn_id, connection in found.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", connection)
    return found


@pytest.fixture
def batches(emulator: Emulator, connections: dict[str, str]) -> list[dict[str, Any]]:
    """A plan that is done, one that is half done, one that is not begun, and one that is held."""
    people = [f"{CANARY}.{number}@example.com" for number in range(8)]
    for email in people:
        emulator.add_profile(email)
    drain(plan(*people[:2], run_id="done"))
    half = plan(*people[2:5], run_id="half", batch_size=2)
    drain(half[:1])
    rest = plan(*people[5:7], run_id="not begun")
    plan(people[7], run_id="held", max_profiles=0)
    assert len(emulator.deletion_requests) == 4
    return [*half[1:], *rest]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command; return its status, what it printed, and what it complained of."""

    def use(*arguments: str, answer: str = "", command: str = "restored") -> tuple[int, str, str]:
        monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")  # To be as it was after the test.
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        capsys.readouterr()
        status = commands.main([command, *arguments])
        return status, *capsys.readouterr()

    return use


def states(ledger: Any) -> list[str]:
    return sorted(state for (state,) in ledger.rows("SELECT state FROM klaviyo_plans"))


def test_nobody_is_deleted_whom_an_unfinished_plan_lists(
    emulator: Emulator, batches: list[dict[str, Any]], ledger: Any, use: Any
) -> None:
    status, printed, _ = use("--yes")

    assert status == 0
    assert f"account {emulator.account.id}: 3, with 4 deletions that are still to be requested" in printed
    assert "Plans withdrawn: 3. Deletions that are not requested any more: 4." in printed
    assert CANARY not in printed
    assert states(ledger) == ["ready", "withdrawn", "withdrawn", "withdrawn"]
    drain(batches)
    assert len(emulator.deletion_requests) == 4
    status, printed, _ = use("--yes")
    assert status == 0
    assert f"Nothing to do: no plan of the ledger 'klaviyo_ledger', account {emulator.account.id}, is un" in printed


def test_a_plan_is_withdrawn_by_its_id(
    emulator: Emulator, batches: list[dict[str, Any]], ledger: Any, use: Any
) -> None:
    status, printed, _ = use(batches[-1]["plan_id"], command="withdraw")
    assert status == 0
    assert "erase not begun plan is withdrawn. Deletions that are not requested any more: 2." in printed
    assert drain(batches[-1:]) == [0]
    assert len(emulator.deletion_requests) == 4


@pytest.mark.parametrize("plan_id", ["", " ", "3f0c", "0" * 32, "F" * 32])
def test_a_plan_that_there_is_not_is_not_withdrawn(
    batches: list[dict[str, Any]], ledger: Any, use: Any, plan_id: str
) -> None:
    before = states(ledger)
    status, _, complained = use(plan_id, command="withdraw")
    assert (status, states(ledger)) == (1, before)
    assert "Not done: Ledger 'klaviyo_ledger':" in complained


def test_who_is_listed_today_is_planned_anew(emulator: Emulator, batches: list[dict[str, Any]], use: Any) -> None:
    use("--yes")
    again = plan(*(f"{CANARY}.{number}@example.com" for number in range(8)), run_id="today")
    assert sum(drain(again)) == 4
    assert len(emulator.deleted) == 8


@pytest.mark.parametrize("answer", ["", "no\n", "y\n", "\n"])
def test_nothing_is_withdrawn_without_a_yes(
    emulator: Emulator, batches: list[dict[str, Any]], ledger: Any, use: Any, answer: str
) -> None:
    before = states(ledger)
    status, printed, complained = use(answer=answer)
    assert status == 1
    assert "Withdraw all of them?" in printed
    assert "Nothing was changed." in complained
    assert states(ledger) == before


def test_a_yes_is_enough(batches: list[dict[str, Any]], use: Any) -> None:
    status, printed, _ = use(answer="yes\n")
    assert status == 0
    assert "Plans withdrawn: 3." in printed


def test_another_account_of_the_same_ledger_is_left_alone(
    emulator: Emulator,
    batches: list[dict[str, Any]],
    ledger: Any,
    use: Any,
    monkeypatch: pytest.MonkeyPatch,
    connections: dict[str, str],
) -> None:
    other = json.loads(connections["klaviyo_default"])
    other["extra"]["account_id"] = "Other1"
    monkeypatch.setenv("AIRFLOW_CONN_ANOTHER", json.dumps(other))
    before = states(ledger)
    status, printed, _ = use("--yes", "--klaviyo-conn-id", "another")
    assert (status, states(ledger)) == (0, before)
    assert "Nothing to do" in printed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--ledger-conn-id", "no_such"], "Ledger 'no_such': there is no such connection"),
        (["--klaviyo-conn-id", "no_such"], "Connection 'no_such' does not exist"),
    ],
)
def test_what_cannot_be_opened_is_named(
    connections: dict[str, str], use: Any, arguments: list[str], complaint: str
) -> None:
    status, _, complained = use("--yes", *arguments)
    assert status == 1
    assert complaint in complained


@pytest.mark.parametrize("arguments", [[], ["backup"], ["restored", "--no"]])
def test_wrong_arguments_are_the_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        commands.main(arguments)
    assert caught.value.code == 2


def test_connections_in_the_metadata_database_are_found(
    airflow: Any, connections: dict[str, str], batches: list[dict[str, Any]], ledger: Any
) -> None:
    for conn_id, connection in connections.items():
        added = airflow.airflow("connections", "add", conn_id, "--conn-json", connection)
        assert added.returncode == 0, added.stderr

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "-m", "airflow_provider_klaviyo.ledger", *arguments]
        return subprocess.run(command, env=airflow.settings(), capture_output=True, text=True, check=False, timeout=120)

    ran = run("restored", "--yes")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Plans withdrawn: 3." in ran.stdout
    assert states(ledger) == ["ready", "withdrawn", "withdrawn", "withdrawn"]
    assert CANARY not in ran.stdout + ran.stderr
    assert run("restored", "--ledger-conn-id", "no_such").returncode == 1
