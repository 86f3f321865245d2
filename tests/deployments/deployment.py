"""An Airflow as it is deployed: a process for each component, LocalExecutor, PostgreSQL; and an emulator of Klaviyo.

Everything listens on loopback, lives in one folder, and is gone when the `with` block is left. Airflow's own times are
shortened, so that what was lost is missed within seconds; so are the pauses of the DAG's tasks, by a cluster policy.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from klaviyo import Klaviyo
from postgresql import HOST, PostgreSQL, free_port
from service import Service
from web import PASSWORD, USER, Web

COMMAND_SECONDS = 180
READY_SECONDS = 180
LOOK_SECONDS = 0.25
# Long enough for whoever talks to it to notice.
DOWN_SECONDS = 3
# A component that nobody has seen alive for so long hangs. A scheduler does at times, when its database goes: the
# LocalExecutor of Airflow 3.3 sends its workers an end for each that is still there, and a worker that is quick enough
# takes one before it is counted, so that the last worker gets none and is waited for without end.
HUNG_SECONDS = 45
PROBE_SECONDS = 5

COMPONENTS = {
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
    **({"dag_processor": ["dag-processor"]} if AIRFLOW_V_3_0_PLUS else {}),
}

SHORTENED = {
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
}
# How soon a task whose process is gone is missed.
if AIRFLOW_V_3_0_PLUS:
    SHORTENED |= {
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    }
else:
    SHORTENED |= {
        "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "20",
        "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "2",
        "AIRFLOW__SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "2",
    }

# The schedule goes as well: a run of its own, begun when the DAG is unpaused, would get between.
POLICY = """
from datetime import timedelta
from airflow.timetables.simple import NullTimetable

def dag_policy(dag):
    dag.timetable = NullTimetable()

def task_policy(task):
    task.retry_delay = timedelta(seconds=2)
    task.retry_exponential_backoff = False
    if hasattr(task, "poke_interval"):
        task.poke_interval = 35
"""


class Deployment:
    """All of it, for as long as a `with` lasts.

    :param home: an empty folder.
    :param dag: the file with the DAG.
    :param limit_factor: how many times as fast as Klaviyo the emulator deletes.
    :param deletion_seconds: how long a deletion takes, once it was accepted.
    """

    def __init__(self, home: Path, dag: Path, *, limit_factor: float, deletion_seconds: float) -> None:
        self.home = home
        self.dag = dag
        self.limit_factor = limit_factor
        self.deletion_seconds = deletion_seconds
        self.services: dict[str, Service] = {}
        self.probed_at = 0.0
        self.database_started_at = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as self.stack:
            # Nothing that was committed may be lost when it is killed.
            self.postgresql = PostgreSQL(durable=True)
            # The workers of a killed scheduler hold its connection open, and so the lock on a run that it had at hand.
            self.postgresql.settings["idle_in_transaction_session_timeout"] = "10s"
            self.stack.enter_context(self.postgresql)
            self.start_klaviyo()
            self.web = Web(f"http://{HOST}:{free_port()}")
            self.stack.callback(self.web.close)
            self.environment = self._environment()
            self.start_airflow()
            self.leave = self.stack.pop_all().close
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def start_klaviyo(self) -> None:
        """Start the emulator, on a port that it keeps."""
        ready = self.home / "ready.json"
        options = ["--port", str(free_port()), "--ready-file", str(ready), "--journal", str(self.home / "journal")]
        options += ["--limit-factor", str(self.limit_factor), "--deletion-seconds", str(self.deletion_seconds)]
        options += ["--latency-seconds", "0.05"]
        command = [sys.executable, "-m", "airflow_provider_klaviyo.emulator", *options]
        self._start("klaviyo", command, inherited())
        self.wait_for("an emulator", ready.exists)
        self.klaviyo = Klaviyo(**json.loads(ready.read_text()), limit_factor=self.limit_factor)

    def start_airflow(self) -> None:
        """Lay an empty Airflow with one DAG, and start all of its processes."""
        for folder in ("dags", "config"):
            (self.home / folder).mkdir()
        shutil.copy(self.dag, self.home / "dags")
        (self.home / "config" / "airflow_local_settings.py").write_text(POLICY)
        self.airflow("db", "migrate")
        self.airflow("pools", "set", "klaviyo_deletions", "4", "Deletions from Klaviyo")
        port = self.web.url.rpartition(":")[2]
        if AIRFLOW_V_3_0_PLUS:
            web = ["api-server", "--host", HOST, "--port", port]
        else:
            web = ["webserver", "--hostname", HOST, "--port", port, "--workers", "1"]
            person = ["--firstname", "A", "--lastname", "B", "--role", "Admin", "--email", "tester@example.com"]
            self.airflow("users", "create", "--username", USER, "--password", PASSWORD, *person)
        for name, arguments in {"web": web, **COMPONENTS}.items():
            self._start(name, airflow_command(*arguments), self.environment)
        self.wait_for("all components to be healthy", self.is_healthy, READY_SECONDS)

    def is_healthy(self) -> bool:
        """Whether Klaviyo answers, and every component was seen alive after it and its database were last started."""
        self._ask_klaviyo("report")
        heartbeats = self.web.heartbeats()
        return all(
            heartbeats.get(name, 0) > max(self.services[name].started_at, self.database_started_at)
            for name in COMPONENTS
        )

    def kill(self, name: str) -> None:
        """Kill a process, and start it again."""
        self.services[name].kill()
        time.sleep(DOWN_SECONDS)
        self.services[name].start()

    def kill_postgresql(self) -> None:
        """Have PostgreSQL go down as in a crash, in the midst of whatever it does, and start it again."""
        process = self.postgresql.process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        process.wait()
        time.sleep(DOWN_SECONDS)
        self.postgresql.start()
        self.database_started_at = time.time()

    def deletions(self) -> dict[str, list[str]]:
        """Return whose deletion Klaviyo accepted, as often as it did, and who is gone."""
        found: dict[str, list[str]] = self._ask_klaviyo("deletions")
        return found

    def profiles(self) -> set[str]:
        """Return the ids of the profiles that Klaviyo has."""
        return {profile["profile_id"] for profile in self._ask_klaviyo("profiles")["profiles"]}

    def wait_for(self, what: str, look: Callable[[], Any], seconds: float = 240) -> Any:
        """Look until there is something to see, and return it; start again what ends by itself or hangs meanwhile.

        While a process is down nobody answers for it, so a look that fails is a look that sees nothing.
        """
        give_up = time.monotonic() + seconds
        reason = ""
        while time.monotonic() < give_up:
            self._restart_what_ended()
            self._restart_what_hangs()
            try:
                if found := look():
                    return found
            except httpx.HTTPError as error:
                reason = f"\nthe last look: {error!r}"
            time.sleep(LOOK_SECONDS)
        tails = "\n".join(f"--- {service.describe()}" for service in self.services.values())
        tails += f"\n--- PostgreSQL\n{self.postgresql.log.read_text()[-3_000:]}"
        raise AssertionError(f"waited {seconds} s in vain for {what}{reason}\n{tails}")

    def airflow(self, *arguments: str) -> None:
        """Run an Airflow command."""
        command = airflow_command(*arguments)
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
        assert done.returncode == 0, (arguments, done.stdout[-3_000:], done.stderr[-3_000:])

    def _ask_klaviyo(self, what: str) -> Any:
        answer = httpx.get(f"{self.klaviyo.url}/_emulator/{what}", timeout=20, trust_env=False)
        return answer.raise_for_status().json()

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        service = self.services[name] = Service(name, command, environment, self.home / f"{name}.log")
        self.stack.callback(service.end)
        service.start()

    def _restart_what_ended(self) -> None:
        for name, service in self.services.items():
            if not service.is_running:
                print(f"{name} has ended, and is started again", flush=True)
                service.start()

    def _restart_what_hangs(self) -> None:
        """Kill what was not seen alive for long, with all that it started, as a container whose probe fails."""
        now = time.time()
        if now < self.probed_at + PROBE_SECONDS or not self.services.keys() >= COMPONENTS.keys():
            return
        self.probed_at = now
        try:
            heartbeats = self.web.heartbeats()
        except httpx.HTTPError:
            return  # Nobody knows. If that lasts, whatever is waited for fails, and the web server's log tells why.
        for name in COMPONENTS:
            service, heartbeat = self.services[name], heartbeats.get(name, 0)
            seen_at = max(heartbeat, service.started_at, self.database_started_at)
            if now - seen_at > (HUNG_SECONDS if heartbeat > service.started_at else READY_SECONDS):
                print(f"{name} hangs, and is started again:\n{service.describe()}", flush=True)
                service.end()
                service.start()

    def _environment(self) -> dict[str, str]:
        airflow = json.loads(self.postgresql.database("airflow"))
        credentials = f"{airflow['login']}:{airflow['password']}@{airflow['host']}:{airflow['port']}"
        settings = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{credentials}/{airflow['schema']}",
            "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_CONN_KLAVIYO_DEFAULT": self.klaviyo.connection(),
            "AIRFLOW_CONN_KLAVIYO_LEDGER": self.postgresql.database("ledger"),
            "AIRFLOW_CONN_WAREHOUSE": self.postgresql.database("warehouse"),
        }
        if AIRFLOW_V_3_0_PLUS:
            settings |= {
                "AIRFLOW__API__WORKERS": "1",
                "AIRFLOW__API__BASE_URL": self.web.url,
                "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of nobody's, that is long enough to be one",
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.web.url}/execution/",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            }
        else:
            settings["AIRFLOW__API__AUTH_BACKENDS"] = "airflow.api.auth.backend.basic_auth"
        return inherited() | settings | SHORTENED


def airflow_command(*arguments: str) -> list[str]:
    """Return the command line of an Airflow command."""
    return [sys.executable, "-W", "ignore", "-m", "airflow", *arguments]


def inherited() -> dict[str, str]:
    """Return what of the caller's environment a process may know."""
    names = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
    return {name: os.environ[name] for name in names if name in os.environ}
