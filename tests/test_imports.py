"""What a DAG pays for importing the operators and sensors."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator
before = set(sys.modules)
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor
DeletionPlanOperator(task_id="plan", sql="SELECT 1 AS email", sql_conn_id="warehouse")
ProfileDeletionOperator(task_id="delete", sql="SELECT 1 AS email", sql_conn_id="warehouse")
DeletionConfirmedSensor(task_id="confirm", plan=[])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_parsing_a_dag_imports_no_hook_no_trigger_and_no_client() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    added = set(json.loads(done.stdout.splitlines()[-1]))
    ours = {name.removeprefix("airflow_provider_klaviyo.") for name in added if "airflow_provider_klaviyo." in name}
    heavy = ("api", "deletion", "hooks", "ledger", "triggers")
    assert {name for name in ours if name.startswith(heavy)} <= {"deletion", "deletion.terms"}
    assert {"operators.klaviyo", "sensors.klaviyo", "sources.source"} <= ours
    assert not {name.split(".")[0] for name in added} & {"pyarrow", "sqlite3", "csv"}
