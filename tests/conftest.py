"""An emulator, a connection to it, and an Airflow of its own for every test; set up before Airflow is imported."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from postgresql import PostgreSQL

for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
HOME = Path(tempfile.mkdtemp(prefix="airflow-klaviyo-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = str(HOME)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"
# There is no metadata database to keep a Variable in.
os.environ["AIRFLOW__KLAVIYO__DEPLOYMENT_ID"] = "tests"
# Airflow 2.11 warns at import where this is not set.
os.environ["AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY"] = "True"

from airflow_provider_klaviyo.deletion import resolve  # noqa: E402
from airflow_provider_klaviyo.emulator import Emulator  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]
FINGERPRINT_KEY = "canary_fingerprint_0123456789abcdef"
FAST = 1_000
FAST_LIMITS = {
    "profile_deletion": {"burst": 3 * FAST, "steady": 60 * FAST},
    "get_profiles": {"burst": 75 * FAST, "steady": 750 * FAST},
    "get_profile": {"burst": 75 * FAST, "steady": 750 * FAST},
    "get_account": {"burst": 1 * FAST, "steady": 15 * FAST},
    "get_profile_lists": {"burst": 3 * FAST, "steady": 60 * FAST},
    "get_profile_segments": {"burst": 3 * FAST, "steady": 60 * FAST},
    "get_events": {"burst": 350 * FAST, "steady": 3_500 * FAST},
    "update_profile": {"burst": 75 * FAST, "steady": 750 * FAST},
    "suppress_profiles": {"burst": 75 * FAST, "steady": 750 * FAST},
    "get_suppression_job": {"burst": 75 * FAST, "steady": 750 * FAST},
}


def connection_to(emulator: Emulator, **extra: Any) -> str:
    """Return an Airflow connection to an emulator, as the JSON of an environment variable."""
    return json.dumps(
        {
            "conn_type": "klaviyo",
            "host": emulator.url,
            "password": emulator.account.key,
            "extra": {"limits": FAST_LIMITS, **extra},
        }
    )


@pytest.fixture(autouse=True)
def forgotten_secrets() -> Iterator[None]:
    """Let Airflow forget each test's secrets: it looks for all it ever saw, and compiles them anew with each new one.

    That took most of the time of the tests. No longer masked, a secret of a test before would only be seen better.
    """
    yield
    for name in ("airflow.sdk._shared.secrets_masker", "airflow.utils.log.secrets_masker"):
        if masker := getattr(sys.modules.get(name), "_secrets_masker", None):
            masker().patterns = set()
            masker().replacer = None


@pytest.fixture(autouse=True)
def quick_second_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the second look at absent identifiers come at once: nothing changes meanwhile."""
    monkeypatch.setattr(resolve, "SECOND_LOOK_SECONDS", 0.0)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Klaviyo with a thousand times the calls a minute, that deletes at once."""
    with Emulator(limit_factor=FAST, deletion_seconds=0, suppression_seconds=0) as emulator:
        yield emulator


@pytest.fixture
def connection() -> Callable[..., str]:
    """Return the JSON of a connection to an emulator."""
    return connection_to


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Point the connection ``klaviyo_default`` to an emulator."""

    def connect(emulator: Emulator, **extra: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", connection_to(emulator, **extra))

    return connect


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make an SQLite database behind the connection ``warehouse`` with these addresses on its suppression list."""

    def fill(*emails: object) -> Path:
        path = tmp_path / "warehouse.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "CREATE TABLE suppression_list (request_id INTEGER PRIMARY KEY, email TEXT, received_at TEXT)"
            )
            connection.executemany("INSERT INTO suppression_list (email) VALUES (?)", [(email,) for email in emails])
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
        return path

    return fill


@dataclass
class DeployedAirflow:
    """An Airflow with a metadata database of its own, driven by its command line."""

    home: Path
    dags: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, dag_id: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a DAG once; return what the command printed."""
        return self.airflow("dags", "test", dag_id, **environment)

    def airflow(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run an Airflow command in a clean environment."""
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "airflow", *arguments],
            env=self.settings() | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def settings(self) -> dict[str, str]:
        """Return the environment of this Airflow."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return inherited | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            **self.environment,
        }

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as connection:
            return connection.execute(query, parameters).fetchall()

    def results(self, task_id: str) -> list[Any]:
        """Return what the instances of a task returned, in the order of their map indexes."""
        query = "SELECT value FROM xcom WHERE task_id = ? AND key = 'return_value' ORDER BY map_index"
        return [json.loads(value) for (value,) in self.rows(query, task_id)]

    def states(self) -> dict[str, str]:
        """Return the state of each task instance; a mapped one goes by ``task_id[map_index]``."""
        query = "SELECT task_id, map_index, state FROM task_instance"
        return {task if index < 0 else f"{task}[{index}]": state for task, index, state in self.rows(query)}


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an Airflow whose metadata database is ready, to be copied."""
    home = tmp_path_factory.mktemp("airflow")
    done = DeployedAirflow(home, home / "dags").airflow("db", "migrate")
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def airflow(tmp_path: Path, migrated_home: Path) -> DeployedAirflow:
    """An Airflow of its own, with the DAGs of the tests."""
    home = tmp_path / "airflow"
    shutil.copytree(migrated_home, home)
    for config in home.glob("airflow.cfg"):
        config.unlink()
    return DeployedAirflow(home, REPOSITORY / "tests" / "dags")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL for all tests that want one, started by the first of them."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def postgres_connection(postgresql: PostgreSQL) -> str:
    """The JSON of a connection to a database of its own, on a server that runs whatever a test before did to it."""
    postgresql.start()
    return postgresql.database(f"test_{uuid4().hex}")


@dataclass
class LedgerFile:
    """A ledger in an SQLite file."""

    path: Path

    @property
    def connection(self) -> str:
        """The JSON of a connection to it."""
        return json.dumps({"conn_type": "sqlite", "host": str(self.path)})

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the ledger's database."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query, parameters).fetchall()


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerFile:
    """A ledger that is not there yet."""
    return LedgerFile(tmp_path / "ledger.db")


@pytest.fixture
def account() -> Callable[[Emulator], str]:
    """Return the JSON of a connection to an emulator that suits a ledger."""
    return lambda emulator: connection_to(emulator, account_id=emulator.account.id, fingerprint_key=FINGERPRINT_KEY)
