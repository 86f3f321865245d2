"""An emulator in a process of its own, and tasks run as Airflow runs them, for the scripts beside this one."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

PROFILES_AT_ONCE = 10_000


@dataclass
class Klaviyo:
    """An emulator somewhere else.

    :param limit_factor: how much more than Klaviyo's it allows.
    """

    url: str
    account_id: str
    key: str
    limit_factor: float = 1
    fingerprint_key: str = field(default_factory=secrets.token_urlsafe)

    def add(self, emails: list[str]) -> list[str]:
        """Add profiles; return their ids."""
        ids: list[str] = []
        for start in range(0, len(emails), PROFILES_AT_ONCE):
            people = [{"email": email} for email in emails[start : start + PROFILES_AT_ONCE]]
            ids += httpx.post(f"{self.url}/_emulator/profiles", json={"profiles": people}, timeout=60).json()[
                "profile_ids"
            ]
        return ids

    def seen(self, endpoint: str) -> dict[str, Any]:
        """Return what it was asked at an endpoint."""
        report = httpx.get(f"{self.url}/_emulator/report", timeout=60).json()
        seen: dict[str, Any] = report["accounts"][self.account_id]["endpoints"][endpoint]
        return seen

    def connection(self) -> str:
        """Return an Airflow connection to it."""
        limits = {
            name: {"burst": burst * self.limit_factor, "steady": steady * self.limit_factor}
            for name, burst, steady in (("profile_deletion", 3, 60), ("get_profiles", 75, 750), ("get_account", 1, 15))
        }
        extra: dict[str, Any] = {"account_id": self.account_id, "fingerprint_key": self.fingerprint_key}
        if self.limit_factor != 1:
            extra["limits"] = limits
        return json.dumps({"conn_type": "klaviyo", "host": self.url, "password": self.key, "extra": extra})


@contextmanager
def klaviyo(*, limit_factor: float = 1, latency_seconds: float = 0.15) -> Iterator[Klaviyo]:
    """Run an emulator for as long as the block."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        options = ["--ready-file", str(ready), "--latency-seconds", str(latency_seconds)]
        options += ["--limit-factor", str(limit_factor)]
        command = [sys.executable, "-m", "airflow_provider_klaviyo.emulator", *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not ready.exists():
                time.sleep(0.05)
            yield Klaviyo(**json.loads(ready.read_text()), limit_factor=limit_factor)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def airflow(**connections: str) -> Iterator[None]:
    """Set up an Airflow that has these connections, before it is imported."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
        os.environ.update({f"AIRFLOW_CONN_{name.upper()}": value for name, value in connections.items()})
        yield


def context(task_id: str, map_index: int = -1, run_id: str = "benchmark") -> Any:
    """Return what a task gets from Airflow, as far as ours make use of it."""
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(dag_id="benchmark", run_id=run_id, task_id=task_id, map_index=map_index, max_tries=0)
    ti.xcom_push = lambda key, value: pushed.update({key: value})
    return {"ti": ti, "pushed": pushed}
