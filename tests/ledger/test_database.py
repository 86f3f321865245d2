"""What may keep a ledger and what may not; and that no stranger's table, key or account is taken for ours."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from sqlalchemy import create_engine

from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.ledger import tables
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerSetupError, LedgerUnavailableError
from airflow_provider_klaviyo.ledger.ledger import BatchReference, Ledger

KEY = "a key that is long enough for a fingerprint"
FAST = {"burst": 1e6, "steady": 6e7}
NEW_KEY = "another key that is long enough for it too"


def test_the_tables_are_made_once_and_found_again(shop: Any) -> None:
    plan = shop.plan(["nobody@example.com"])
    shop.account()
    with shop.open() as (ledger, _):
        assert ledger.plan(plan["plan_id"]) == plan


def test_an_older_ledger_says_its_version_though_it_lacks_a_table(shop: Any) -> None:
    with shop.open():
        pass
    shop.account()
    shop.run("UPDATE klaviyo_ledger SET schema_version = 1", "DROP TABLE klaviyo_tokens")
    with pytest.raises(LedgerSetupError, match=r"of version 1, but this package writes version 3\. Use the package"):
        shop.plan([])


def test_tables_of_another_version_are_left_alone(shop: Any) -> None:
    with shop.open():
        pass
    shop.account()
    shop.run("UPDATE klaviyo_ledger SET schema_version = 7")
    with pytest.raises(LedgerSetupError, match=r"of version 7, but this package writes version 3\. Use the package"):
        shop.plan([])
    shop.run("DELETE FROM klaviyo_ledger")
    with pytest.raises(LedgerSetupError, match="of version none, but"):
        shop.plan([])


@pytest.mark.parametrize("name", ["klaviyo_plans", "klaviyo_ledger"])
def test_a_strangers_table_is_left_alone(shop: Any, name: str) -> None:
    shop.run(f"CREATE TABLE {name} (canary TEXT)", f"INSERT INTO {name} VALUES ('canary')")
    with pytest.raises(LedgerSetupError, match=f"has a table {name} but not all of a ledger's. Give the ledger a data"):
        shop.plan([])
    shop.run(f"UPDATE {name} SET canary = 'alive'", f"DROP TABLE {name}")
    with shop.open():
        pass


def test_records_made_with_another_key_are_not_gone_on_with(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.erase(["jane@example.com"])
    before = shop.everything()
    shop.account(fingerprint_key=NEW_KEY)
    with pytest.raises(LedgerSetupError, match="fingerprint_key is another one than the ledger was written") as caught:
        shop.plan(["jane@example.com"], run="tomorrow")
    assert KEY not in str(caught.value)
    assert NEW_KEY not in str(caught.value)
    assert shop.everything() == before


def test_a_key_that_was_changed_on_purpose_still_recognises_people(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.erase(["jane@example.com", "junk"])
    shop.account(fingerprint_key=f"{NEW_KEY} , {KEY}")
    assert shop.plan(["jane@example.com"], run="tomorrow")["known"] == 1
    shop.emulator.add_profile(email="joe@example.com")
    shop.erase(["joe@example.com"], run="the day after")
    assert {row["key_id"] for row in shop.rows("requests")} == set(FingerprintKeys.parse(f"{NEW_KEY},{KEY}").ids)
    assert shop.plan(["joe@example.com", "jane@example.com"], run="later")["known"] == 2
    shop.account(fingerprint_key=KEY)
    with pytest.raises(LedgerSetupError, match="another one"):
        shop.plan([])
    shop.account(fingerprint_key=f"{KEY},{NEW_KEY}")
    assert shop.plan(["joe@example.com", "jane@example.com"], run="back again")["known"] == 2


def test_accounts_in_one_ledger_know_nothing_of_each_other(shop: Any, connect: Callable[..., None]) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    plan = shop.erase(["jane@example.com"])
    left = shop.plan(["nobody@example.com", "jane@example.com"], run="run 2")
    other = shop.emulator.add_account()
    hers = shop.emulator.add_profile(email="jane@example.com", account=other)
    connection = connect_as(shop, other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", connection)
        shop.close()
        with pytest.raises(LedgerSetupError, match=f"was made for account {shop.emulator.account.id}, but"):
            shop.look(left)
        with pytest.raises(LedgerSetupError, match="Give all tasks of a plan the same klaviyo_conn_id"):
            shop.drain([BatchReference(plan["plan_id"], 0, 1)])
        with shop.open() as (ledger, _):
            assert ledger.outstanding_batches(but="", most=10) == []
        assert shop.plan(["jane@example.com"], run="run 3")["profiles"] == 1
    assert shop.emulator.has_profile(hers)


def connect_as(shop: Any, account: Any) -> str:
    connection = {
        "conn_type": "klaviyo",
        "host": shop.emulator.url,
        "password": account.key,
        "extra": {"account_id": account.id, "fingerprint_key": NEW_KEY, "limits": dict.fromkeys(ENDPOINTS, FAST)},
    }
    return json.dumps(connection)


@pytest.mark.parametrize("plan_id", ["f" * 32, "nobody", "canary@example.com", "", "\x00", "\ud800", "a" * 10_000])
def test_an_unknown_plan_is_refused_and_not_repeated(shop: Any, plan_id: str) -> None:
    for use in (
        lambda: shop.look({"plan_id": plan_id}),
        lambda: shop.drain([BatchReference(plan_id, 0, 1)]),
        lambda: release(shop, plan_id),
    ):
        with pytest.raises(LedgerSetupError, match="no plan") as caught:
            use()
        assert "canary" not in str(caught.value)
        assert len(str(caught.value)) < 200


def release(shop: Any, plan_id: str) -> None:
    with shop.open() as (ledger, _):
        ledger.release(plan_id)


def test_a_batch_that_its_plan_has_not_is_refused(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    plan = shop.plan(["jane@example.com"])
    for number in (1, 10**30):
        with pytest.raises(LedgerSetupError, match=f"has no batch {number}: hand references over as their plan gives"):
            shop.drain([BatchReference(plan["plan_id"], number, 1)])
        with pytest.raises(LedgerSetupError, match=f"has no batch {number}"):
            shop.look(plan, batch=number)


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        7,
        "canary",
        [],
        {},
        {"plan_id": "f" * 32},
        {"plan_id": "f" * 32, "batch": "0", "size": 1},
        {"plan_id": "f" * 32, "batch": True, "size": 1},
        {"plan_id": "f" * 32, "batch": 0, "size": True},
        {"plan_id": "f" * 32, "batch": 0, "size": None},
        {"plan_id": "f" * 32, "batch": -1, "size": 1},
        {"plan_id": "f" * 32, "batch": 0, "size": -1},
        {"plan_id": "f" * 32, "batch": 0.0, "size": 1},
        {"plan_id": 7, "batch": 0, "size": 1},
        {"plan_id": "f" * 32, "batch": 0, "size": 1, "email": "canary"},
    ],
)
def test_what_no_plan_has_returned_is_no_reference(garbage: object) -> None:
    with pytest.raises(LedgerSetupError, match="must be one of the references that a DeletionPlanOperator") as caught:
        BatchReference.from_json(garbage)
    assert "canary" not in str(caught.value)


def test_a_reference_survives_json() -> None:
    reference = BatchReference("f" * 32, 3, 500)
    assert BatchReference.from_json(json.loads(json.dumps(reference.to_json()))) == reference


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_keeps_no_ledger(url: str) -> None:
    with pytest.raises(LedgerSetupError, match="is forgotten with the task: give the connection a file"):
        Database(create_engine(url))


def test_another_kind_of_database_keeps_no_ledger() -> None:
    class Engine:
        class dialect:  # noqa: N801
            name = "mysql"

    with pytest.raises(LedgerSetupError, match=r"a mysql database cannot keep a ledger: .* postgresql, sqlite\."):
        Database(Engine())  # type: ignore[arg-type]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailableError, match="unable to open database file"):
        Database(create_engine(f"sqlite:///{tmp_path}/nowhere/ledger.db"))


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("canary@example.com\n" * 1_000)
    with pytest.raises(LedgerUnavailableError) as caught:
        Database(create_engine(f"sqlite:///{path}"))
    assert "canary" not in str(caught.value)


def open_at_once(url: str, barrier: threading.Barrier, failures: SimpleQueue[str]) -> None:
    try:
        barrier.wait(30)
        for _ in range(3):
            database = Database(create_engine(url, connect_args={"timeout": 60} if "sqlite" in url else {}))
            Ledger(database, "AbC123", FingerprintKeys.parse(KEY), "somebody")
            database.close()
    except BaseException as error:
        failures.put(repr(error))
        raise


@pytest.fixture
def url(shop: Any) -> str:
    return str(shop.engine.url.render_as_string(hide_password=False))


@pytest.mark.parametrize("attempt", range(2))
def test_many_may_be_the_first_to_use_it(url: str, attempt: int) -> None:
    failures: SimpleQueue[str] = SimpleQueue()
    barrier = threading.Barrier(8)
    workers = [threading.Thread(target=open_at_once, args=(url, barrier, failures)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures.empty(), failures.get()


def test_half_of_the_tables_are_never_seen(tmp_path: Path) -> None:
    """SQLite's driver would end a transaction for each CREATE, and another process would take them for a stranger's."""
    url, seen, stop = f"sqlite:///{tmp_path}/ledger.db", set(), threading.Event()

    def look() -> None:
        with closing(sqlite3.connect(tmp_path / "ledger.db", timeout=30)) as connection:
            while not stop.is_set():
                query = "SELECT count(*) FROM sqlite_master WHERE type = 'table'"
                seen.add(connection.execute(query).fetchone()[0])

    watcher = threading.Thread(target=look)
    watcher.start()
    database = Database(create_engine(url, connect_args={"timeout": 60}))
    stop.set()
    watcher.join()
    database.close()
    assert seen <= {0, len(tables.metadata.tables)}


@pytest.mark.parametrize("ledger_connection", ["postgresql"], indirect=True)
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_stricter_level_of_isolation_changes_nothing(
    ledger_connection: str, postgres_connection: str, monkeypatch: pytest.MonkeyPatch, shop: Any, level: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", postgres_connection)
    name = json.loads(postgres_connection)["schema"]
    shop.run(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'")
    shop.account()
    failures: list[BaseException] = []

    def reserve() -> None:
        try:
            with shop.fresh() as (ledger, _):
                for _ in range(20):
                    ledger.paces.reserve("account", "endpoint", 2.0)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    workers = [threading.Thread(target=reserve) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    (pace,) = shop.rows("paces")
    assert pace["version"] == 80
