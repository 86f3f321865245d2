"""A Klaviyo that things go wrong with, the tasks of a pipeline, and a clock that no wait is felt on."""

from __future__ import annotations

import asyncio
import functools
import json
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import hypothesis
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_klaviyo.api import calls, client
from airflow_provider_klaviyo.api.errors import KlaviyoError
from airflow_provider_klaviyo.api.pace import paces_of_this_process
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks import klaviyo as hooks
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerError
from airflow_provider_klaviyo.ledger.paces import LedgerPaces
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator
from airflow_provider_klaviyo.sensors import klaviyo as sensors
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.triggers import klaviyo as triggers

# An example takes as long as the machine makes it take.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

KEY = "a key that is long enough for a fingerprint"
# Always the same: Airflow gets slower with every secret that it is to mask.
API_KEY, ACCOUNT_ID = "pk_of_the_shop_with_faults", "Faults"
MEMORY = Path("/dev/shm")
DAY, PAUSE_SECONDS, RETRY_SECONDS = 86_400.0, 3_600.0, 300.0
# Less than the real one: who is told to call again at once would do so six hundred times.
PATIENCE_SECONDS = 30.0
# What a task may end in, other than success. Anything else is a defect, and fails the test that meets it.
NAMED = (KlaviyoError, AirflowFailException, LedgerError, SourceError, AirflowSensorTimeout)


class Clock:
    """Unix time. Waits are over at once, and were as long as they should be: the clock jumps to their end."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def pass_by(self, seconds: float) -> None:
        until = self() + seconds
        with self._lock:
            self._ahead += max(0.0, until - self())


def replacing(module: ModuleType, **names: Any) -> SimpleNamespace:
    """Return a module with some names in it replaced, for one that imports it."""
    return SimpleNamespace(**vars(module) | names)


@contextmanager
def on_a_clock_that_jumps() -> Iterator[Clock]:
    """Have everything that waits for Klaviyo, and Klaviyo if it is given this clock, go by one that jumps."""
    clock = Clock()

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            clock.pass_by(timeout or 0.0)
            return self.is_set()

    async def sleep(seconds: float) -> None:
        clock.pass_by(seconds)
        await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "threading", replacing(threading, Event=Event))
        patch.setattr(client, "asyncio", replacing(asyncio, sleep=sleep))
        patch.setattr(triggers, "asyncio", replacing(asyncio, sleep=sleep))
        patch.setattr(triggers, "time", replacing(time, time=clock))
        patch.setattr(sensors, "time", replacing(time, time=clock))
        patch.setattr(paces_of_this_process, "_clock", clock)
        patch.setattr(paces_of_this_process, "_paces", {})
        patch.setattr(LedgerPaces.__init__, "__defaults__", (clock,))
        patch.setattr(Database, "seconds", lambda *_: clock())
        patch.setattr(triggers, "PATIENCE_SECONDS", PATIENCE_SECONDS / 10)
        for call in (calls.get_account, calls.get_profile, calls.find_profiles, calls.request_profile_deletion):
            patch.setitem(call.__kwdefaults__ or {}, "patience_seconds", PATIENCE_SECONDS)
        yield clock


class Store:
    """Airflow's task state store as far as it is used: JSON under keys, kept from try to try."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key: str, value: Any) -> None:
        self.kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


@dataclass
class LedgerFile:
    """A ledger in a file, read behind the provider's back."""

    path: Path

    def rows(self, table: str = "requests") -> list[dict[str, Any]]:
        """Return the rows of a table; none where there is no ledger yet."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            is_there = "SELECT 1 FROM sqlite_master WHERE name = ?"
            if connection.execute(is_there, (f"klaviyo_{table}",)).fetchone() is None:
                return []
            return [dict(row) for row in connection.execute(f"SELECT * FROM klaviyo_{table}")]

    def empty(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for table in ("plans", "requests", "events"):
                connection.execute(f"DELETE FROM klaviyo_{table}")

    def bytes(self) -> bytes:
        """Return the file as it lies on the disk, with whatever was only struck from it."""
        return self.path.read_bytes()


@dataclass
class Shop:
    """Whom to erase from which Klaviyo, and the tasks that do. Each runs as in a process of its own, and again if told.

    :param store: Airflow's task state store; None as before Airflow 3.3.
    """

    emulator: Emulator
    clock: Clock
    ledger: LedgerFile
    listed: list[Any] = field(default_factory=list)
    store: Store | None = field(default_factory=Store)
    batch_size: int = 3

    def keep_state(self, is_kept: bool) -> None:
        """Begin a new run of the task, on an Airflow with or without a task state store."""
        self.store = Store() if is_kept else None

    def wait_for_a_retry(self) -> None:
        """Let the time pass after which Airflow tries a task again, by default."""
        self.clock.pass_by(RETRY_SECONDS)

    def plan(self) -> list[dict[str, Any]]:
        operator = DeletionPlanOperator(
            task_id="plan",
            profiles=self.listed,
            batch_size=self.batch_size,
            max_profiles_per_identifier=None,
            max_invalid=1,
        )
        return list(self._run(operator.execute, "plan"))

    def drain(self, batch: dict[str, Any], map_index: int = 0) -> dict[str, Any]:
        operator = ProfileDeletionOperator(task_id="delete", batch=batch)
        return dict(self._run(operator.execute, "delete", map_index))

    def drain_all(self, batches: Iterable[dict[str, Any]]) -> None:
        """Work all batches off; a task that fails keeps none of the others from being run."""
        endings = [self.ending_of(self.drain, batch, index) for index, batch in enumerate(batches)]
        for error in filter(None, endings):
            raise error

    def delete_list(self) -> dict[str, Any]:
        limits: dict[str, Any] = {"max_profiles_per_identifier": None, "max_invalid": 1}
        operator = ProfileDeletionOperator(task_id="delete", profiles=self.listed, **limits)
        return dict(self._run(operator.execute, "delete"))

    def look(self, **waits_for: Any) -> dict[str, int]:
        """Look once, and give up if somebody is still there."""
        sensor = DeletionConfirmedSensor(task_id="confirm", mode="poke", timeout=0, deferrable=False, **waits_for)
        return dict(self._run(sensor.execute, "confirm"))

    def wait(self, **waits_for: Any) -> dict[str, int]:
        """Wait in the triggerer, for a day at most. Only what Airflow stores gets from one process to the next."""

        def sensor() -> DeletionConfirmedSensor:
            return DeletionConfirmedSensor(
                task_id="confirm",
                deferrable=True,
                timeout=DAY,
                poke_interval=PAUSE_SECONDS,
                max_wait=PAUSE_SECONDS,
                **waits_for,
            )

        def step(context: Any) -> Any:
            return sensor().execute(context)

        while True:
            try:
                return dict(self._run(step, "confirm"))
            except TaskDeferred as deferral:
                go_on = getattr(sensor(), deferral.method_name)
                step = functools.partial(go_on, event=fire(deferral.trigger))

    @staticmethod
    def ending_of(task: Callable[..., Any], *arguments: Any, **named: Any) -> Exception | None:
        """Run a task; return the error that it ends in, if that is one that says what to do next."""
        try:
            task(*arguments, **named)
        except NAMED as error:
            return error
        return None

    def _run(self, execute: Callable[[Any], Any], task_id: str, map_index: int = -1) -> Any:
        hooks._checked_keys.clear()
        of = {"dag_id": "erase", "run_id": "run 1", "task_id": task_id, "map_index": map_index, "max_tries": 9}
        started = {"start_date": datetime.now(UTC), "get_first_reschedule_date": lambda _: None}
        ti = SimpleNamespace(**of, **started, xcom_push=lambda **pushed: json.dumps(pushed))
        result = execute({"ti": ti, "task_state_store": self.store})
        return json.loads(json.dumps(result))


def fire(trigger: Any) -> dict[str, Any]:
    """Return the event of a trigger, both taken through JSON, as Airflow's database does."""
    hooks._checked_keys.clear()
    _, arguments = trigger.serialize()
    stored = triggers.DeletionConfirmedTrigger(**json.loads(json.dumps(arguments)))

    async def first() -> Any:
        return [event.payload async for event in stored.run()]

    (payload,) = asyncio.run(first())
    return dict(json.loads(json.dumps(payload)))


@contextmanager
def ledger_in_memory() -> Iterator[LedgerFile]:
    """Make a ledger behind the usual connection, where there is no disk to be waited for."""
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        path = Path(folder) / "ledger.db"
        patch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
        yield LedgerFile(path)


def connect(emulator: Emulator, patch: pytest.MonkeyPatch) -> None:
    """Point the usual connection to an emulator, with Klaviyo's own limits: nobody waits for them here."""
    extra = {"account_id": emulator.account.id, "fingerprint_key": KEY}
    connection = {"conn_type": "klaviyo", "host": emulator.url, "password": emulator.account.key, "extra": extra}
    patch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", json.dumps(connection))


@pytest.fixture(scope="session")
def shops() -> Callable[..., AbstractContextManager[Shop]]:
    """Open a shop with an emulator of these options; nobody who is there waits for anything."""

    @contextmanager
    def shop(**options: Any) -> Iterator[Shop]:
        with (
            on_a_clock_that_jumps() as clock,
            Emulator(clock=clock, key=API_KEY, account_id=ACCOUNT_ID, **options) as emulator,
            ledger_in_memory() as ledger,
            pytest.MonkeyPatch.context() as patch,
        ):
            connect(emulator, patch)
            yield Shop(emulator, clock, ledger)

    return shop
