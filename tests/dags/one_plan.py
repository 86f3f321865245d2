"""A plan and nothing else, for deployments that name everything alike."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def one_plan() -> None:
    """Plan what the warehouse lists."""
    DeletionPlanOperator(task_id="plan", sql="SELECT email FROM suppression_list", sql_conn_id="warehouse")


made = one_plan()

if __name__ == "__main__":
    # Always under the same run id, which the command line of Airflow 3 does not let one choose.
    when = pendulum.datetime(2026, 1, 1, tz="UTC")
    made.test(logical_date=when, run_after=when)
