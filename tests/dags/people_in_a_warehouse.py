"""People who come from a warehouse; no retries, so that a fault shows at once."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def people_in_a_warehouse() -> None:
    """Delete and confirm by a query."""
    sql = "SELECT email FROM suppression_list"
    delete = ProfileDeletionOperator(task_id="delete", sql=sql, sql_conn_id="warehouse", max_profiles=10)
    DeletionConfirmedSensor(
        task_id="confirm",
        profiles=delete.output,
        sql=sql,
        sql_conn_id="warehouse",
        deferrable=True,
        poke_interval=1,
    )


people_in_a_warehouse()
