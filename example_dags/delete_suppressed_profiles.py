"""Every night, delete from Klaviyo everyone on the warehouse's suppression list, and see that they are gone."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import dag
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 5, "retry_delay": timedelta(minutes=10), "retry_exponential_backoff": True},
    doc_md=__doc__,
    tags=["klaviyo", "privacy"],
)
def delete_suppressed_profiles() -> None:
    """Check the whole list, delete it batch by batch, and wait until the last profile is gone."""
    # A join gone wrong must not delete everybody: this fails if the list matches more profiles than could be right.
    check = ProfileDeletionOperator(
        task_id="check",
        sql_conn_id="warehouse",
        sql="SELECT email FROM suppression_list",
        max_profiles=1_000,
        dry_run=True,
    )
    # Ranges of some hundred requests, by their numbers: nothing personal leaves the warehouse. The whole division and
    # the ? are SQLite's; write them as your warehouse does.
    batches = SQLExecuteQueryOperator(
        task_id="batches",
        conn_id="warehouse",
        sql="SELECT min(request_id), max(request_id) FROM suppression_list GROUP BY request_id / 100 ORDER BY 1",
    )
    delete = ProfileDeletionOperator.partial(
        task_id="delete",
        sql_conn_id="warehouse",
        sql="SELECT email FROM suppression_list WHERE request_id BETWEEN ? AND ? ORDER BY request_id",
        pool="klaviyo_deletions",
    ).expand(parameters=batches.output)

    confirm = DeletionConfirmedSensor(
        task_id="confirm",
        profiles=delete.output,
        sql_conn_id="warehouse",
        sql="SELECT email FROM suppression_list",
        deferrable=True,
    )
    check >> batches >> delete >> confirm


delete_suppressed_profiles()
