"""People who come from a warehouse; no retries unless the environment says so, so that a fault shows at once."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def people_in_a_warehouse() -> None:
    """Delete and confirm by a query."""
    sql = "SELECT email FROM suppression_list"
    retries: dict[str, Any] = {"retries": int(os.environ.get("RETRIES", "0")), "retry_delay": timedelta(seconds=1)}
    delete = ProfileDeletionOperator(task_id="delete", sql=sql, sql_conn_id="warehouse", max_profiles=10, **retries)
    DeletionConfirmedSensor(
        task_id="confirm",
        profiles=delete.output,
        sql=sql,
        sql_conn_id="warehouse",
        deferrable=True,
        poke_interval=1,
    )


people_in_a_warehouse()
