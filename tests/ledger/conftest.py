"""A shop with people in Klaviyo and a ledger, on each kind of database; and the steps from a list to its end."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import hypothesis
import pytest
from airflow.providers.common.compat.sdk import BaseHook
from postgresql import PostgreSQL
from sqlalchemy import select, text

from airflow_provider_klaviyo.deletion.drain import drain
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
from airflow_provider_klaviyo.hooks.ledger import open_ledger
from airflow_provider_klaviyo.ledger import tables
from airflow_provider_klaviyo.ledger.confirmation import LedgerConfirmation
from airflow_provider_klaviyo.ledger.ledger import BatchReference, Ledger
from airflow_provider_klaviyo.ledger.planning import Rules, register_plan
from airflow_provider_klaviyo.ledger.work import LedgerBatch
from airflow_provider_klaviyo.sources.lists import list_entries

# An example takes as long as the machine makes it take.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

KEY = "a key that is long enough for a fingerprint"
MEMORY = Path("/dev/shm")


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: SQLite waits for the disk at every commit."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def one_database(postgresql: PostgreSQL) -> str:
    """The JSON of a connection to a PostgreSQL database that is emptied for every test: a new one takes longer."""
    postgresql.start()
    return postgresql.database(f"ledger_{uuid4().hex}")


@pytest.fixture(scope="session", autouse=True)
def one_ssl_context() -> Iterator[None]:
    """Read the certificates of the world once, rather than for every worker: the emulator has none of them."""
    context = httpx.create_ssl_context()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", lambda **_: context)
        yield


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_connection(request: pytest.FixtureRequest, quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the connection ``klaviyo_ledger`` to an empty database; return its JSON."""
    if request.param == "sqlite":
        connection = json.dumps({"conn_type": "sqlite", "host": str(quick_folder / "ledger.db")})
        monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", connection)
    else:
        connection = request.getfixturevalue("one_database")
        request.getfixturevalue("postgresql").start()
        monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", connection)
        BaseHook.get_hook("klaviyo_ledger").run(
            [f"DROP TABLE IF EXISTS {name} CASCADE" for name in tables.metadata.tables]
        )
    return connection


@pytest.fixture
def url(ledger_connection: str) -> str:
    """The same database, as SQLAlchemy writes it."""
    connection = json.loads(ledger_connection)
    if connection["conn_type"] == "sqlite":
        return f"sqlite:///{connection['host']}"
    address = f"{connection['login']}:{connection['password']}@{connection['host']}:{connection['port']}"
    return f"postgresql://{address}/{connection['schema']}"


@dataclass
class Shop:
    """What a test needs to have people deleted, and to see what was written down about it."""

    emulator: Emulator
    connect: Callable[..., None]
    stack: ExitStack = field(default_factory=ExitStack)
    opened: dict[str, tuple[Ledger, KlaviyoHook]] = field(default_factory=dict)

    def account(self, **extra: Any) -> None:
        """Change what the connection to Klaviyo says, and begin with new workers."""
        self.close()
        self.connect(self.emulator, **{"account_id": self.emulator.account.id, "fingerprint_key": KEY, **extra})

    def open(self, actor: str = "somebody") -> AbstractContextManager[tuple[Ledger, KlaviyoHook]]:
        """Return what a worker has open; it stays open."""
        if actor not in self.opened:
            self.opened[actor] = self.stack.enter_context(self.fresh(actor))
        return nullcontext(self.opened[actor])

    def fresh(self, actor: str = "somebody") -> AbstractContextManager[tuple[Ledger, KlaviyoHook]]:
        """Open a ledger, to be closed by a with."""
        return open_ledger("klaviyo_ledger", "klaviyo_default", actor)

    def close(self) -> None:
        self.opened.clear()
        self.stack.close()

    @cached_property
    def engine(self) -> Any:
        """A way around the ledger."""
        engine = BaseHook.get_hook("klaviyo_ledger").get_sqlalchemy_engine()
        self.stack.callback(engine.dispose)
        self.stack.callback(self.__dict__.pop, "engine")
        return engine

    def plan(
        self,
        people: Iterable[Any],
        *,
        run: str = "run 1",
        recipe: str = "a list",
        **rules: Any,
    ) -> dict[str, Any]:
        """Register a list; return the plan's row."""
        with self.open("planner") as (ledger, hook):
            client, made_by = hook.get_conn(), {"origin": run, "recipe": recipe}
            return register_plan(lambda: list_entries(people, Entry), client, ledger, Rules(**rules), **made_by)

    def batches(self, plan: dict[str, Any]) -> list[BatchReference]:
        with self.open() as (ledger, _):
            return ledger.batches_of(plan["plan_id"])

    def drain(self, references: Sequence[BatchReference], actor: str = "drainer", **options: Any) -> dict[str, int]:
        """Work batches off; return the counts of the last one."""
        counts: dict[str, int] = {}
        with self.open(actor) as (ledger, hook):
            for reference in references:
                batch = LedgerBatch(ledger, reference)
                drain(batch.profile_ids, hook.get_conn(), record=batch, **options)
                counts = nonzero(batch.counts)
        return counts

    def look(self, *plans: dict[str, Any], batch: int | None = None) -> dict[str, int] | None:
        """Look once whether everybody is gone; return the counts if so."""
        with self.open("watcher") as (ledger, hook):
            confirmation = LedgerConfirmation(ledger, [plan["plan_id"] for plan in plans], batch)
            counts = confirmation.look(hook.get_conn())
            return None if counts is None else nonzero(counts)

    def erase(self, people: Iterable[Any], **how: Any) -> dict[str, Any]:
        """Plan, drain and confirm; return the plan's row."""
        plan = self.plan(people, **how)
        self.drain(self.batches(plan))
        assert self.look(plan) is not None
        return plan

    def counts(self, *plans: dict[str, Any]) -> dict[str, int]:
        with self.open() as (ledger, _):
            return nonzero(ledger.counts([plan["plan_id"] for plan in plans]))

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return what stands in a table, in the order of its primary key."""
        of = tables.metadata.tables[f"klaviyo_{table}"]
        with self.engine.begin() as connection:
            return [dict(row) for row in connection.execute(select(of).order_by(*of.primary_key)).mappings()]

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Return the whole record."""
        return {name: self.rows(name) for name in ("accounts", "plans", "requests", "events")}

    def events(self) -> list[tuple[str, str | None]]:
        """Return what happened, and to whom, in order."""
        return [(row["event"], row["profile_id"]) for row in self.rows("events")]

    def run(self, *statements: str) -> None:
        """Do something to the database behind the ledger's back."""
        for statement in statements:
            with self.engine.begin() as connection:
                connection.execute(text(statement))


def nonzero(counts: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number}


@pytest.fixture
def shop(emulator: Emulator, connect: Callable[..., None], ledger_connection: str) -> Iterator[Shop]:
    shop = Shop(emulator, connect)
    shop.account()
    yield shop
    shop.close()


@pytest.fixture
def slow_shop(connect: Callable[..., None], ledger_connection: str) -> Iterator[Shop]:
    """A shop whose deletions never finish until the fault is cleared."""
    with Emulator(limit_factor=1_000, deletion_seconds=0) as emulator:
        emulator.fault("deletions_never_finish")
        shop = Shop(emulator, connect)
        shop.account()
        yield shop
        shop.close()
