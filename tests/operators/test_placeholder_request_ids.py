"""Placeholder request ids in a deletion: no request id, said by row, and no document of a stranger counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_klaviyo.access.errors import ExportMissingError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileAccessOperator

EMAILS = ["jane@example.com", "joe@example.com"]


@pytest.fixture(autouse=True)
def ledger(emulator: Emulator, account: Callable[[Emulator], str], ledger: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ledger behind the usual connection, and two people in Klaviyo."""
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", account(emulator))
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", ledger.connection)
    emulator.add_profiles({"email": email} for email in EMAILS)
    return ledger


def run(operator: Any) -> Any:
    of = {"dag_id": "erase", "run_id": "run 1", "task_id": operator.task_id, "map_index": -1, "max_tries": 0}
    return operator.execute({"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)})


@pytest.mark.parametrize("placeholder", ["NULL", "-", "0", "N/A", 0])
def test_a_placeholder_is_no_request_id_in_the_ledger(
    ledger: Any, placeholder: object, caplog: pytest.LogCaptureFixture
) -> None:
    people = [{"email": email, "request_id": placeholder} for email in EMAILS]
    (batch,) = run(DeletionPlanOperator(task_id="plan", profiles=people))
    assert batch["size"] == 2
    assert ledger.rows("SELECT request_id FROM klaviyo_requests") == [(None,), (None,)]
    for row in (1, 2):
        assert f"Row {row} is not understood in full; it has no request id: a placeholder such as null" in caplog.text


def test_a_document_of_a_stranger_with_the_same_placeholder_does_not_count(emulator: Emulator, tmp_path: Path) -> None:
    people = [{"email": email, "request_id": "N/A"} for email in EMAILS]
    folder = str(tmp_path / "exports")
    run(ProfileAccessOperator(task_id="access", profiles=people[:1], output_path=folder))
    with pytest.raises(ExportMissingError, match=r"1 of 2 rows have no document .*: row 2\."):
        run(DeletionPlanOperator(task_id="plan", profiles=people, require_export=folder))
    run(ProfileAccessOperator(task_id="access", profiles=people, output_path=folder))
    (batch,) = run(DeletionPlanOperator(task_id="plan", profiles=people, require_export=folder))
    assert batch["size"] == 2
