"""Every morning, say how many deletions are outstanding, and fail where the law's deadline for one of them is near.

It asks nothing but the ledger, so that it also tells when the DAG that deletes stands still. Let Airflow tell you of
its failure as it tells you of any other.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import AirflowFailException, dag, task

NEAR = timedelta(days=7)


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 5, "retry_delay": timedelta(minutes=10)},
    doc_md=__doc__,
    tags=["klaviyo", "privacy"],
)
def watch_deadlines() -> None:
    """Ask the ledger."""

    @task
    def outstanding() -> dict[str, int]:
        from airflow_provider_klaviyo.hooks.ledger import open_ledger
        from airflow_provider_klaviyo.ledger import questions

        with open_ledger("klaviyo_ledger", "klaviyo_default", actor="watch_deadlines") as (ledger, _):
            found = questions.outstanding(ledger)
        if found.due_at is not None and found.due_at < pendulum.now("UTC") + NEAR:
            raise AirflowFailException(
                f"Due by {found.due_at:%Y-%m-%d}: the first of {found.planned:,} requests still to be deleted and "
                f"{found.requested:,} not confirmed gone; {found.overdue:,} are overdue"
            )
        return {"planned": found.planned, "requested": found.requested, "overdue": found.overdue}

    outstanding()


watch_deadlines()
