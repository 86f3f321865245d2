"""What a DAG pays for importing the operators and sensors."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator
before = set(sys.modules)
from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor
ProfileDeletionOperator(task_id="delete", sql="SELECT 1 AS email", sql_conn_id="warehouse")
DeletionConfirmedSensor(task_id="confirm", profiles=[])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_parsing_a_dag_imports_no_hook_no_trigger_and_no_client() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    added = set(json.loads(done.stdout.splitlines()[-1]))
    ours = {name for name in added if name.startswith("airflow_provider_klaviyo.")}
    assert ours - {"airflow_provider_klaviyo.get_provider_info"} == {
        "airflow_provider_klaviyo.concealed",
        "airflow_provider_klaviyo.operators",
        "airflow_provider_klaviyo.operators.klaviyo",
        "airflow_provider_klaviyo.sensors",
        "airflow_provider_klaviyo.sensors.klaviyo",
        "airflow_provider_klaviyo.sources",
    }
