"""`require_export`: nobody is registered or deleted before everybody listed has a document."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.access.errors import ExportMissingError, OutputUnavailableError
from airflow_provider_klaviyo.access.folder import DocumentFolder
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    ProfileAccessOperator,
    ProfileDeletionOperator,
)

KEY = "a key that is long enough for a fingerprint"
NEW_KEY = "another key that is long enough for fingerprints"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exports"


@pytest.fixture(autouse=True)
def klaviyo(emulator: Emulator, connect: Callable[..., None], ledger: Any, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """An emulator and a ledger behind the usual connections."""
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", ledger.connection)
    connect(emulator, account_id=emulator.account.id, fingerprint_key=KEY)
    return emulator


class Tasks:
    """The tasks of one DAG run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def access(self, *people: Any) -> None:
        self._run(ProfileAccessOperator(task_id="access", profiles=list(people), output_path=str(self.folder)))

    def delete(self, *people: Any, **arguments: Any) -> dict[str, Any]:
        arguments = {"require_export": f"file://{self.folder}", "profiles": list(people)} | arguments
        return dict(self._run(ProfileDeletionOperator(task_id="delete", **arguments)))

    def plan(self, *people: Any, **arguments: Any) -> list[dict[str, Any]]:
        arguments = {"require_export": str(self.folder), "profiles": list(people)} | arguments
        return list(self._run(DeletionPlanOperator(task_id="plan", **arguments)))

    @staticmethod
    def _run(operator: Any) -> Any:
        of = {"dag_id": "privacy", "run_id": "run 1", "task_id": operator.task_id, "map_index": -1, "max_tries": 3}
        context = {"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)}
        return json.loads(json.dumps(operator.execute(context)))


@pytest.fixture
def tasks(folder: Path) -> Tasks:
    return Tasks(folder)


def listed(emulator: Emulator, number: int) -> list[dict[str, Any]]:
    people = [{"email": f"{one}@example.com", "request_id": f"REQ-{one}"} for one in range(number)]
    for person in people[: number - 1]:
        emulator.add_profile(email=person["email"])
    return people


def test_nobody_of_a_list_is_deleted_before_everybody_has_a_document(emulator: Emulator, tasks: Tasks) -> None:
    people = listed(emulator, 4)
    tasks.access(*people[:2])
    for dry_run in (True, False):
        with pytest.raises(ExportMissingError, match=r"2 of 4 rows have no document in file://.*: rows 4, 5\. Nobody"):
            tasks.delete(*people[:2], "no identifier", *people[2:], dry_run=dry_run)
    assert emulator.calls("profile_deletion") == 0
    tasks.access(*people)
    assert tasks.delete(*people, "no identifier")["requested"] == 3
    assert len(emulator.deleted) == 3


def test_nothing_is_registered_before_everybody_has_a_document(emulator: Emulator, tasks: Tasks, ledger: Any) -> None:
    people = listed(emulator, 4)
    tasks.access(*people[:3])
    with pytest.raises(ExportMissingError, match="1 of 4 rows have no document"):
        tasks.plan(*people)
    assert ledger.rows("SELECT count(*) FROM klaviyo_requests") == [(0,)]
    assert ledger.rows("SELECT count(*) FROM klaviyo_plans") == [(0,)]
    tasks.access(*people)
    (batch,) = tasks.plan(*people)
    assert batch["size"] == 3
    tasks.delete(profiles=None, require_export=None, batch=batch)
    assert len(emulator.deleted) == 3


def test_a_plan_that_is_made_again_asks_for_the_documents_again(emulator: Emulator, tasks: Tasks, ledger: Any) -> None:
    people = listed(emulator, 2)
    tasks.access(*people)
    first = tasks.plan(*people)
    (tasks.folder / "REQ-0.json").rename(tasks.folder / "REQ-0.json.0.part")
    with pytest.raises(ExportMissingError, match="1 of 2 rows"):
        tasks.plan(*people)
    assert ledger.rows("SELECT state FROM klaviyo_plans") == [("ready",)]
    (tasks.folder / "REQ-0.json.0.part").rename(tasks.folder / "REQ-0.json")
    assert tasks.plan(*people) == first


def test_a_query_is_asked_as_it_is_read(
    emulator: Emulator, tasks: Tasks, warehouse: Callable[..., Path], ledger: Any
) -> None:
    emails = [person["email"] for person in listed(emulator, 30)]
    warehouse(*emails, "no identifier", None)
    of_query = {"sql": "SELECT email, request_id FROM suppression_list", "sql_conn_id": "warehouse", "profiles": None}
    tasks.access(*[{"email": email, "request_id": number} for number, email in enumerate(emails[:-1], 1)])
    for task in (tasks.plan, tasks.delete):
        with pytest.raises(ExportMissingError, match=r"1 of 30 rows have no document .*: row 30\."):
            task(**of_query)
    assert ledger.rows("SELECT count(*) FROM klaviyo_requests") == [(0,)]
    assert emulator.calls("profile_deletion") == 0
    tasks.access(emails[-1])
    with pytest.raises(ExportMissingError, match="1 of 30 rows"):
        tasks.plan(**of_query)
    tasks.access({"email": emails[-1], "request_id": 30})
    assert sum(batch["size"] for batch in tasks.plan(**of_query)) == 29


def test_who_was_held_back_has_no_document_and_is_not_deleted(emulator: Emulator, tasks: Tasks) -> None:
    for number in range(6):
        emulator.add_profile(email=f"{number}@example.com", external_id="0")
    people = [{"external_id": "0"}, {"email": "0@example.com"}]
    tasks.access(*people)
    with pytest.raises(ExportMissingError, match=r"1 of 2 rows have no document .*: row 1\."):
        tasks.delete(*people, max_profiles_per_identifier=None)
    assert emulator.calls("profile_deletion") == 0


def test_documents_count_that_have_the_name_of_a_former_key(
    emulator: Emulator, connect: Callable[..., None], tasks: Tasks
) -> None:
    emulator.add_profile(email="jane@example.com")
    people = ["jane@example.com", {"email": "joe@example.com", "request_id": "a/b"}]
    tasks.access(*people)
    connect(emulator, account_id=emulator.account.id, fingerprint_key=NEW_KEY)
    with pytest.raises(ExportMissingError, match="2 of 2 rows"):
        tasks.delete(*people)
    connect(emulator, account_id=emulator.account.id, fingerprint_key=f"{NEW_KEY},{KEY}")
    assert tasks.delete(*people)["requested"] == 1


def test_without_a_key_it_says_how_to_make_one(emulator: Emulator, connect: Callable[..., None], tasks: Tasks) -> None:
    connect(emulator)
    with pytest.raises(AirflowFailException, match=r"'Fingerprint key' .* Make one with python -c"):
        tasks.delete("jane@example.com")
    assert emulator.calls("profile_deletion") == 0


@pytest.mark.parametrize("path", ["", "nope://bucket/x", "s3://bucket/*"])
def test_a_folder_that_cannot_be_one_lets_nobody_pass(emulator: Emulator, tasks: Tasks, path: str) -> None:
    people = listed(emulator, 2)
    for task in (tasks.delete, tasks.plan):
        with pytest.raises(AirflowFailException, match="output_path"):
            task(*people, require_export=path)
    assert emulator.calls("profile_deletion") == 0


def test_a_folder_that_cannot_be_read_lets_nobody_pass(
    emulator: Emulator, tasks: Tasks, monkeypatch: pytest.MonkeyPatch, ledger: Any
) -> None:
    people = listed(emulator, 2)
    tasks.access(*people)

    def refuse(_: DocumentFolder) -> None:
        raise OutputUnavailableError("the bucket is not there")

    monkeypatch.setattr(DocumentFolder, "names", refuse)
    for task in (tasks.delete, tasks.plan):
        with pytest.raises(OutputUnavailableError):
            task(*people)
    assert emulator.calls("profile_deletion") == 0
    assert ledger.rows("SELECT count(*) FROM klaviyo_requests") == [(0,)]


def test_a_batch_takes_none() -> None:
    batch = {"plan_id": "0" * 32, "batch": 0, "size": 1}
    with pytest.raises(ValueError, match="nor require_export: its plan had them"):
        ProfileDeletionOperator(task_id="delete", batch=batch, require_export="file:///exports")


def test_it_is_a_template() -> None:
    for operator in (ProfileDeletionOperator, DeletionPlanOperator):
        assert "require_export" in operator.template_fields
    assert "output_path" in ProfileAccessOperator.template_fields
