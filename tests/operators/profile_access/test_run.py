"""A whole run of Airflow: everybody's document, then their deletion; and nothing personal but in the documents."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow_provider_klaviyo.emulator import Emulator

CANARY = "canary.tweet"
DAG = """
import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    ProfileAccessOperator,
    ProfileDeletionOperator,
)


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def see_and_forget():
    people = {"sql": "SELECT email, request_id FROM suppression_list", "sql_conn_id": "warehouse"}
    folder = "{{ conn.exports.host }}/{{ dag.dag_id }}"
    access = ProfileAccessOperator(task_id="access", output_path=folder, include_events=True, **people)
    plan = DeletionPlanOperator(task_id="plan", require_export=folder, **people)
    access >> plan
    ProfileDeletionOperator.partial(task_id="delete").expand(batch=plan.output)
    ProfileAccessOperator(
        task_id="by_hand", output_path=folder + "/by_hand", profiles=["canary.tweet.5@example.com"]
    ) >> plan


see_and_forget()
"""


def everything_kept(airflow: Any) -> Iterator[tuple[str, str]]:
    """Yield every row of the metadata database but Airflow's copy of the DAG, and every log."""
    for (table,) in airflow.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        if table not in {"serialized_dag", "dag_code"}:
            for row in airflow.rows(f'SELECT * FROM "{table}"'):
                yield f"table {table}", " ".join(map(str, row))
    for path in (airflow.home / "logs").rglob("*.log"):
        yield f"log {path.name}", path.read_text(errors="replace")


def test_everybody_gets_a_document_and_is_forgotten_and_nothing_else_is_left(
    airflow: Any,
    emulator: Emulator,
    account: Callable[[Emulator], str],
    warehouse: Callable[..., Path],
    ledger: Any,
    tmp_path: Path,
) -> None:
    present = set()
    for number in range(3):
        jane = emulator.add_profile(email=f"{CANARY}.{number}@example.com", properties={"secret": CANARY})
        emulator.add_to_list(jane, emulator.add_list(f"List of {CANARY}"))
        emulator.add_event(jane, "Placed Order", {"secret": CANARY})
        present.add(jane)
    database = warehouse(*(f"{CANARY}.{number}@example.com" for number in range(4)), f"{CANARY} no mail")
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM suppression_list").fetchone() == (5,)
    airflow.dags = tmp_path / "dags"
    airflow.dags.mkdir()
    (airflow.dags / "see_and_forget.py").write_text(DAG)
    exports = tmp_path / "exports"
    airflow.environment = {
        "AIRFLOW_CONN_KLAVIYO_DEFAULT": account(emulator),
        "AIRFLOW_CONN_KLAVIYO_LEDGER": ledger.connection,
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(database)}),
        "AIRFLOW_CONN_EXPORTS": json.dumps({"conn_type": "generic", "host": str(exports)}),
    }

    run = airflow.run("see_and_forget")

    assert run.returncode == 0, run.stdout + run.stderr
    assert emulator.deleted == present
    folder = exports / "see_and_forget"
    documents = sorted(folder.glob("*.json"))
    assert [path.name for path in documents] == ["1.json", "2.json", "3.json", "4.json"]
    for number, path in enumerate(documents):
        document = json.loads(path.read_text("utf-8"))
        assert document["identifiers"] == [{"email": f"{CANARY}.{number}@example.com"}]
        assert [len(profile["events"]) for profile in document["profiles"]] == [1] * (number < 3)
    (result,) = airflow.results("access")
    counts = {"listed": 5, "duplicates": 0, "exported": 3, "absent": 1, "invalid": 1, "refused": 0, "held": 0}
    assert result == counts | {"profiles": 3, "documents": [str(path) for path in documents]}
    assert len(list((folder / "by_hand").iterdir())) == 1
    names = [("file name", str(path)) for path in exports.rglob("*")]
    for place, text in [("output", run.stdout + run.stderr), *everything_kept(airflow), *names]:
        lower = text.lower()
        assert CANARY not in lower, f"in {place}: …{text[max(0, lower.index(CANARY) - 300) :][:600]}"
