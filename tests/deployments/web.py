"""The REST interface of an Airflow, of either generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

USER, PASSWORD = "tester", "only-on-loopback"


@dataclass
class Web:
    """Asks, and has things done.

    :param url: of the API server, or of the web server of Airflow 2.
    """

    url: str

    def __post_init__(self) -> None:
        self.version = "/api/v2" if AIRFLOW_V_3_0_PLUS else "/api/v1"
        # Before Airflow 3 a user was to be named; now everybody is an administrator, and has to ask for a token.
        auth = None if AIRFLOW_V_3_0_PLUS else (USER, PASSWORD)
        self.client = httpx.Client(base_url=self.url, auth=auth, timeout=20, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def heartbeats(self) -> dict[str, float]:
        """Return when each component was last seen alive, in Unix seconds, as far as one ever was."""
        path = "/api/v2/monitor/health" if AIRFLOW_V_3_0_PLUS else "/health"
        answer = self.client.get(path).raise_for_status().json()
        return {
            name: datetime.fromisoformat(about[f"latest_{name}_heartbeat"]).timestamp()
            for name, about in answer.items()
            if about.get(f"latest_{name}_heartbeat")
        }

    def unpause(self, dag_id: str) -> bool:
        """Let a DAG run; tell whether it may."""
        return not self._ask("PATCH", f"/dags/{dag_id}", {"is_paused": False})["is_paused"]

    def trigger(self, dag_id: str) -> str:
        """Start a run; return its id."""
        body = {"logical_date": None} if AIRFLOW_V_3_0_PLUS else {}
        return str(self._ask("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self._ask("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, mapped ones each for itself."""
        found = self._ask("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return sorted(found, key=lambda one: (one["task_id"], one["map_index"]))

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        if AIRFLOW_V_3_0_PLUS and "authorization" not in self.client.headers:
            token = self.client.get("/auth/token").raise_for_status().json()["access_token"]
            self.client.headers["authorization"] = f"Bearer {token}"
        return self.client.request(method, self.version + path, json=body).raise_for_status().json()
