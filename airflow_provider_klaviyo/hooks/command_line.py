"""Airflow's connections for a process that is no task: a command that somebody runs in a shell."""

from __future__ import annotations

import os

__all__ = ["find_connections_as_airflow_does"]


def find_connections_as_airflow_does() -> None:
    """Have this process find connections where Airflow's own commands do, also in the metadata database.

    Call it before the first connection is looked for. From Airflow 3.1 on, a process that is neither a task nor a
    server looks into the environment only; `airflow connections test` says the same of itself. Before, there is nothing
    to be said.

    Source: https://github.com/apache/airflow/blob/3.3.2/airflow-core/src/airflow/cli/commands/connection_command.py
    """
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
