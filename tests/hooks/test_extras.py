"""What the connection of a ledger or a token store says is done, or refused by name: never left out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook
from postgresql import PostgreSQL
from sqlalchemy import text
from tls_proxy import TLSProxy

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.database import open_database
from airflow_provider_klaviyo.ledger import tables
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerSetupError, LedgerUnavailableError
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator

CANARY = "canary"
KEY = "a key that is long enough for a fingerprint"
DRIVERS = [{}, {"sqlalchemy_scheme": "postgresql+psycopg2"}]

each_driver = pytest.mark.parametrize("driver", DRIVERS, ids=["the default driver", "psycopg2"])


@pytest.fixture(scope="module")
def one_database(postgresql: PostgreSQL) -> str:
    """The JSON of a connection to a database that is emptied for every test: a new one takes longer."""
    postgresql.start()
    return postgresql.database(f"extras_{uuid4().hex}")


@pytest.fixture
def postgres_connection(one_database: str, postgresql: PostgreSQL) -> str:
    postgresql.start()
    of = json.loads(one_database)
    address = {"user": of["login"], "password": of["password"], "dbname": of["schema"]}
    with closing(psycopg2.connect(host=of["host"], port=of["port"], **address)) as connection, connection:
        cursor = connection.cursor()
        cursor.execute("DROP SCHEMA IF EXISTS one, two, public CASCADE")
        cursor.execute("CREATE SCHEMA public")
    return one_database


@pytest.fixture
def ledger(postgres_connection: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Point the connection ``klaviyo_ledger`` to a PostgreSQL, with something in its extra field."""

    def ledger(port: int | None = None, **extra: Any) -> None:
        connection = json.loads(postgres_connection) | {"extra": extra} | ({"port": port} if port else {})
        monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(connection))

    ledger()
    return ledger


@pytest.fixture
def proxy(postgres_connection: str) -> Iterator[TLSProxy]:
    with TLSProxy(json.loads(postgres_connection)["port"], "127.0.0.1") as proxy:
        yield proxy


def opened() -> Database:
    return open_database("klaviyo_ledger", set_by="ledger_conn_id")


def asked(query: str) -> list[Any]:
    """Return what the ledger's database answers."""
    with closing(opened()) as database, database.begin() as connection:
        return list(connection.execute(text(query)).scalars())


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
@each_driver
def test_no_ledger_is_kept_in_clear_text_where_tls_is_required(
    ledger: Callable[..., None], driver: dict[str, str], sslmode: str
) -> None:
    ledger(sslmode=sslmode, **driver)
    with pytest.raises(LedgerUnavailableError, match=r"OperationalError: .*(SSL|root certificate)"):
        opened()


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
@each_driver
def test_a_ledger_is_kept_through_tls(
    ledger: Callable[..., None], proxy: TLSProxy, driver: dict[str, str], sslmode: str
) -> None:
    ledger(proxy.port, sslmode=sslmode, sslrootcert=str(proxy.authority), **driver)
    opened().close()
    assert proxy.encrypted > 0
    assert proxy.in_clear_text == 0


@each_driver
def test_a_server_of_another_authority_is_refused(
    ledger: Callable[..., None], proxy: TLSProxy, postgres_connection: str, driver: dict[str, str]
) -> None:
    with TLSProxy(json.loads(postgres_connection)["port"], "127.0.0.1") as other:
        ledger(proxy.port, sslmode="verify-ca", sslrootcert=str(other.authority), **driver)
    with pytest.raises(LedgerUnavailableError, match=r"(root certificate|certificate verify failed)"):
        opened()


@each_driver
def test_a_server_of_another_name_is_refused_only_if_its_name_counts(
    ledger: Callable[..., None], postgres_connection: str, driver: dict[str, str]
) -> None:
    with TLSProxy(json.loads(postgres_connection)["port"], "elsewhere.example") as elsewhere:
        ledger(elsewhere.port, sslmode="verify-full", sslrootcert=str(elsewhere.authority), **driver)
        with pytest.raises(LedgerUnavailableError, match=r"server certificate for .*does not match host name"):
            opened()
        ledger(elsewhere.port, sslmode="verify-ca", sslrootcert=str(elsewhere.authority), **driver)
        opened().close()


@each_driver
def test_what_the_driver_takes_reaches_the_server(ledger: Callable[..., None], driver: dict[str, str]) -> None:
    given = {"application_name": "a ledger", "connect_timeout": 7, "keepalives_idle": 30, "cursor": "dictcursor"}
    ledger(options="-c statement_timeout=4321", target_session_attrs="read-write", **given, **driver)
    assert asked("SHOW application_name") == ["a ledger"]
    assert asked("SHOW statement_timeout") == ["4321ms"]


def test_a_database_in_the_extra_goes_before_the_field(
    ledger: Callable[..., None], postgresql: Any, request: pytest.FixtureRequest
) -> None:
    other = json.loads(postgresql.database(f"other_{abs(hash(request.node.name))}"))["schema"]
    ledger(dbname=other)
    assert asked("SELECT current_database()") == [other]


@pytest.mark.parametrize(
    "extra",
    [
        {"canary": CANARY, "sslmode": "prefer", "Options": ""},
        {"autocommit": True, "canary": CANARY},
        {"canary": {"nested": CANARY}},
        {"sqlalchemy_query": {"sslmode": "prefer", "canary": "x"}},
        {"__extra__": json.dumps({"canary": CANARY}), "canary": None},
    ],
)
def test_what_the_driver_does_not_take_is_refused_by_name(ledger: Callable[..., None], extra: dict[str, Any]) -> None:
    ledger(**extra)
    names = ", ".join(sorted(extra.keys() - {"sslmode", "sqlalchemy_query"})) or "canary"
    with pytest.raises(LedgerSetupError, match=f"the connection's extra has {names}, which .* remove it") as caught:
        opened()
    assert str(caught.value).count(CANARY) == 1


@pytest.mark.filterwarnings("ignore")  # Airflow 2.11 warns of such a field.
@pytest.mark.parametrize("extra", ["sslmode=require", '["sslmode"]', '"require"'])
@pytest.mark.parametrize("kind", ["postgres", "sqlite"])
def test_an_extra_that_airflow_would_pass_over_is_refused(
    postgres_connection: str, monkeypatch: pytest.MonkeyPatch, extra: str, kind: str
) -> None:
    connection = json.loads(postgres_connection) | {"extra": extra, "conn_type": kind}
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(connection))
    with pytest.raises(LedgerSetupError, match="extra field must be a JSON object"):
        opened()


def test_a_connection_may_be_a_url(ledger: Callable[..., None], postgres_connection: str, monkeypatch: Any) -> None:
    of = json.loads(postgres_connection)
    url = f"postgres://{of['login']}:{of['password']}@{of['host']}:{of['port']}/{of['schema']}"
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", f"{url}?sslmode=require")
    with pytest.raises(LedgerUnavailableError, match="SSL"):
        opened()
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", f"{url}?__extra__=%7B%22sslmode%22%3A%22require%22%7D")
    with pytest.raises(LedgerUnavailableError, match="SSL"):
        opened()


def test_each_connection_has_a_token_of_its_own_where_passwords_are_tokens(
    ledger: Callable[..., None], postgres_connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = json.loads(postgres_connection)
    tokens: list[str] = []

    def get_iam_token(_: Any, connection: Any) -> tuple[str, str, int]:
        tokens.append(connection.login)
        return of["login"], of["password"], of["port"]

    ledger(iam=True, aws_conn_id="somewhere")
    monkeypatch.setattr(PostgresHook, "get_iam_token", get_iam_token)
    with closing(opened()) as database:
        before = len(tokens)
        database._engine.dispose()
        with database.begin():
            assert len(tokens) == before + 1

    def fail(*_: Any) -> Any:
        raise RuntimeError(CANARY)

    with closing(opened()) as database:
        monkeypatch.setattr(PostgresHook, "get_iam_token", fail)
        database._engine.dispose()
        with pytest.raises(LedgerUnavailableError, match=r"no token .*\(iam\): RuntimeError$"), database.begin():
            pass


def tables_of(schema: str) -> set[str]:
    return set(asked(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'"))


@each_driver
def test_two_ledgers_live_in_two_schemas_of_one_database(
    ledger: Callable[..., None],
    emulator: Emulator,
    connect: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    driver: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(account_id=emulator.account.id, fingerprint_key=KEY)
    people = {name: emulator.add_profile(email=f"{name}@example.com") for name in ("ada", "bob")}
    PostgresHook("klaviyo_ledger").run(["CREATE SCHEMA one", "CREATE SCHEMA two"])
    references = {}
    for schema, name in (("one", "ada"), ("two", "bob")):
        ledger(options=f"-c search_path={schema},public", **driver)
        plan = DeletionPlanOperator(task_id="plan", profiles=[f"{name}@example.com"], klaviyo_conn_id="shop")
        references[schema] = plan.execute(context())
    assert "new ledger in schema two. The database has another ledger, in schema one" in caplog.text
    for schema in ("one", "two"):
        ledger(options=f"-c search_path={schema}", **driver)
        assert asked("SELECT profile_id FROM klaviyo_requests") == [people[{"one": "ada", "two": "bob"}[schema]]]
        assert tables_of(schema) == set(tables.metadata.tables)
        assert not tables_of("public")
    for reference in references["two"]:
        ProfileDeletionOperator(task_id="delete", batch=reference, klaviyo_conn_id="shop").execute(context())
    assert emulator.deleted == {people["bob"]}
    ledger(options="-c search_path=one", **driver)
    for reference in references["one"]:
        ProfileDeletionOperator(task_id="delete", batch=reference, klaviyo_conn_id="shop").execute(context())
    assert emulator.deleted == set(people.values())


def context() -> Any:
    of = {"dag_id": "erase", "run_id": "a run", "task_id": "a_task", "map_index": -1, "max_tries": 0}
    return {"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)}


@each_driver
def test_a_ledger_is_not_hidden_by_a_new_one(ledger: Callable[..., None], driver: dict[str, str]) -> None:
    ledger(**driver)
    opened().close()
    PostgresHook("klaviyo_ledger").run("CREATE SCHEMA one")
    ledger(options="-c search_path=one,public", **driver)
    with pytest.raises(
        LedgerSetupError, match=r"has a ledger in schema public, .* made in schema one: name one schema"
    ):
        opened()
    ledger(options="-c search_path=public,one", **driver)
    opened().close()
    assert not tables_of("one")


def test_a_schema_that_is_not_there_is_named(ledger: Callable[..., None]) -> None:
    ledger(options="-c search_path=nowhere")
    with pytest.raises(LedgerSetupError, match=r"no schema that the search path names \(nowhere\), .* create it"):
        opened()


def test_a_token_store_is_not_in_clear_text_either(
    ledger: Callable[..., None], emulator: Emulator, connection: Callable[..., str]
) -> None:
    from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError, KlaviyoUnavailableError
    from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

    app = emulator.add_installation()
    oauth = {
        "oauth_client_id": app.client_id,
        "oauth_client_secret": app.client_secret,
        "oauth_refresh_token": app.refresh_token,
    }
    connection(host=emulator.url, extra=oauth)
    ledger(sslmode="require")
    with pytest.raises(KlaviyoUnavailableError, match=r"oauth_store_conn_id.*SSL"), KlaviyoHook("shop") as hook:
        hook.get_account()
    ledger(canary=CANARY)
    with pytest.raises(KlaviyoConfigurationError, match="extra has canary, which"), KlaviyoHook("shop") as hook:
        hook.get_account()
    assert emulator.calls() == 0


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Point the connection ``klaviyo_ledger`` to a file, with something in its extra field."""

    def sqlite(**extra: Any) -> Path:
        path = tmp_path / "a ledger.db"
        connection = {"conn_type": "sqlite", "host": str(path), "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(connection))
        return path

    return sqlite


def test_a_file_is_made_only_where_its_mode_lets_it(sqlite: Callable[..., Path]) -> None:
    path = sqlite(mode="rw")
    with pytest.raises(LedgerUnavailableError, match="unable to open database file"):
        opened()
    assert not path.exists()
    sqlite(mode="rwc", timeout="5")
    opened().close()
    assert path.exists()
    sqlite(mode="rw")
    opened().close()


@pytest.mark.parametrize("mode", ["ro", "memory"])
def test_a_file_that_is_not_to_be_written_keeps_no_ledger(sqlite: Callable[..., Path], mode: str) -> None:
    sqlite()
    opened().close()
    sqlite(mode=mode)
    with pytest.raises(LedgerSetupError, match=f"says mode '{mode}', .* one of rw, rwc"):
        opened()


@pytest.mark.parametrize("extra", [{"canary": 1}, {"cache": "shared"}, {"sslmode": "require"}, {"isolation_level": 1}])
def test_what_a_file_does_not_take_is_refused_by_name(sqlite: Callable[..., Path], extra: dict[str, Any]) -> None:
    sqlite(**extra)
    with pytest.raises(LedgerSetupError, match=f"extra has {next(iter(extra))}, which a ledger's"):
        opened()


@pytest.mark.parametrize("timeout", [0.01, "0.01"])
def test_a_writer_waits_as_long_as_the_connection_says(sqlite: Callable[..., Path], timeout: object) -> None:
    path = sqlite(timeout=timeout)
    with closing(opened()) as database, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailableError, match="locked"), database.begin() as connection:
            connection.execute(text("UPDATE klaviyo_ledger SET schema_version = 0"))
    sqlite(timeout="soon")
    with pytest.raises(LedgerSetupError, match="a timeout that is no number of seconds"):
        opened()
