"""SQLAlchemy's loggers show nothing of a ledger, whatever their level: neither statements nor rows."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_klaviyo.ledger.database import Database

CANARY = "canary.tweet"


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that is logged at DEBUG, by every logger of SQLAlchemy that there is or will be."""
    names = ["sqlalchemy", *(name for name in logging.root.manager.loggerDict if name.startswith("sqlalchemy"))]
    before = {name: logging.getLogger(name).level for name in names}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "loggers": {name: {"level": "DEBUG", "propagate": True} for name in names},
        }
    )
    with caplog.at_level(logging.DEBUG):
        yield caplog
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_a_ledger_is_not_logged(shop: Any, everything: pytest.LogCaptureFixture) -> None:
    shop.emulator.add_profile(email=f"{CANARY}@example.com")
    shop.erase([f"{CANARY}@example.com", f"{CANARY}.absent@example.com"])
    assert CANARY not in everything.text
    assert "klaviyo_requests" not in everything.text
    assert not [record for record in everything.records if record.name.startswith("sqlalchemy.pool")]


@pytest.mark.parametrize("how", [{}, {"echo": True, "echo_pool": True}, {"echo": "debug", "logging_name": "mine"}])
def test_an_engine_that_is_to_log_does_not(
    url: str, everything: pytest.LogCaptureFixture, how: dict[str, object]
) -> None:
    engine = create_engine(url, **how)
    database = Database(engine)
    for _ in range(2):
        with database.begin() as connection:
            assert connection.execute(text("SELECT CAST(:value AS TEXT)"), {"value": CANARY}).scalar_one() == CANARY
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        database.close()
    assert CANARY not in everything.text
    assert not [record for record in everything.records if record.name.startswith("sqlalchemy.engine")]


def test_other_engines_log_as_before(url: str, everything: pytest.LogCaptureFixture) -> None:
    Database(create_engine(url)).close()
    other = create_engine(url)
    with other.connect() as connection:
        connection.execute(text("SELECT CAST(:value AS TEXT)"), {"value": "a parameter"})
    other.dispose()
    assert "a parameter" in everything.text
