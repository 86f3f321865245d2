"""No logger shows a person, a key or a password, of whichever library and at DEBUG, whatever Klaviyo answers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from postgresql import PostgreSQL
from ways import CANARY, EMAIL, EVERY_WAY, EXTERNAL_ID, PHONE, Ways

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks import klaviyo as hooks
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator

KEY = "pk_canary_0123456789abcdef"
FINGERPRINT_KEY = "canary_fingerprint_0123456789abcdef"
SECRETS = (CANARY, PHONE.removeprefix("+"), KEY, FINGERPRINT_KEY)
# Airflow's own show what they like at this level; and uvicorn is the emulator's.
OTHERS = ("airflow.", "uvicorn")
OWN = "airflow_provider_klaviyo"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(limit_factor=1_000, deletion_seconds=0, key=KEY) as emulator:
        emulator.add_profile(EMAIL, PHONE, EXTERNAL_ID)
        yield emulator


@pytest.fixture(params=["sqlite", "postgresql"])
def ways(
    request: pytest.FixtureRequest,
    emulator: Emulator,
    connect: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Ways:
    connection = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")})
    if request.param == "postgresql":
        connection = request.getfixturevalue("postgres_connection")
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", connection)
    connect(emulator, account_id=emulator.account.id, fingerprint_key=FINGERPRINT_KEY)
    return Ways(emulator, tmp_path / "exports")


@pytest.fixture
def at_debug(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that is logged at DEBUG, by loggers that would not at other times as well."""
    loggers = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    before = [(one, one.level, one.propagate) for one in loggers]
    for one in loggers:
        one.setLevel(logging.DEBUG)
        one.propagate = True
    with caplog.at_level(logging.DEBUG):
        yield caplog
    for one, level, propagate in before:
        one.setLevel(level)
        one.propagate = propagate


def shown(caplog: pytest.LogCaptureFixture) -> str:
    records = [one for one in caplog.records if not one.name.startswith(OTHERS) or OWN in one.name]
    return "\n".join(f"{one.name}: {caplog.handler.format(one)}" for one in records)


@pytest.mark.parametrize("fault", [None, "redirect", "foreign_next_link", "deletion_refused"])
def test_no_logger_shows_a_person_or_a_key(
    ways: Ways, emulator: Emulator, at_debug: pytest.LogCaptureFixture, fault: str | None
) -> None:
    if fault is not None:
        emulator.fault(fault, endpoint="profile_deletion" if fault == "deletion_refused" else "get_profiles")
    for way in sorted(EVERY_WAY):
        hooks._checked_keys.clear()
        with suppress(Exception, TaskDeferred):
            getattr(ways, way)()
        text = shown(at_debug)
        at_debug.clear()
        assert "httpcore" in text or way in {"complete", "poke_plan", "read_fingerprint_keys", "recheck", "release"}, (
            way
        )
        for secret in SECRETS:
            at = text.lower().find(secret.lower())
            assert at < 0, f"{way}: {secret} in …{text[max(0, at - 300) : at + 200]}…"


def test_neither_does_asyncio_in_debug_mode(
    ways: Ways, at_debug: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    loop = asyncio.new_event_loop()
    assert loop.get_debug()
    loop.close()
    for way in (ways.connect_async, ways.trigger):
        hooks._checked_keys.clear()
        with suppress(Exception):
            way()
    text = shown(at_debug).lower()
    assert not [secret for secret in SECRETS if secret.lower() in text]


def test_a_query_is_not_logged(
    ways: Ways,
    postgresql: PostgreSQL,
    postgres_connection: str,
    at_debug: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", postgres_connection)
    ways.run(
        DeletionPlanOperator,
        profiles=None,
        sql=f"SELECT '{EMAIL}' AS email UNION ALL SELECT %(other)s",
        parameters={"other": f"{CANARY}.other@example.com"},
        sql_conn_id="warehouse",
        run_id="run 5",
    )
    password = json.loads(postgres_connection).get("password") or KEY
    text = shown(at_debug).lower()
    assert not [secret for secret in (*SECRETS, password) if secret.lower() in text]
