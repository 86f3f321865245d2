"""Rows that a SQL operator has returned, handed over as a list of people."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag
from airflow.providers.common.sql.hooks.handlers import fetch_one_handler
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator

Delete: Any = ProfileDeletionOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def rows_of_a_query() -> None:
    """Hand rows of one column over, and rows of two, in all the ways there are."""

    def rows(name: str, columns: str, **arguments: Any) -> Any:
        sql = f"SELECT {columns} FROM people ORDER BY email"
        return SQLExecuteQueryOperator(task_id=name, sql=sql, conn_id="warehouse", **arguments).output

    one, two = rows("one_column", "email"), rows("two_columns", "email, handled_by")
    Delete(task_id="all_of_one", profiles=one, max_profiles=2)
    Delete.partial(task_id="each_of_one").expand(profiles=one)
    Delete(task_id="all_of_two", profiles=two)
    Delete(task_id="listed_of_two", profiles=[two])
    Delete.partial(task_id="each_of_two").expand(profiles=two)
    Delete.partial(task_id="kwargs_of_two").expand_kwargs(two.map(lambda row: {"profiles": row}))
    Delete(task_id="first_of_two", profiles=rows("first_row", "email, handled_by", handler=fetch_one_handler))


rows_of_a_query()
