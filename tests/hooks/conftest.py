"""Connections as Airflow reads them from the environment, to an emulator whose limits are not in the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

FAST = {name: {"burst": 1e6, "steady": 6e7} for name in ENDPOINTS}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(limit_factor=100_000, deletion_seconds=0) as emulator:
        yield emulator


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Make a connection and return its id."""

    def connection(**fields: Any) -> str:
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "klaviyo", **fields}))
        return "shop"

    return connection


@pytest.fixture
def connect(emulator: Emulator, connection: Callable[..., str]) -> Callable[..., str]:
    """Make a connection to the emulator and return its id."""

    def connect(password: str | None = None, host: str | None = None, **extra: Any) -> str:
        return connection(
            password=password or emulator.account.key, host=host or emulator.url, extra={"limits": FAST, **extra}
        )

    return connect


@pytest.fixture(params=["blocking", "asyncio"])
def read(request: pytest.FixtureRequest) -> Callable[[str], Settings]:
    """Read a connection in each of the two ways."""

    def read(conn_id: str) -> Settings:
        hook = KlaviyoHook(conn_id)
        return hook.get_settings() if request.param == "blocking" else asyncio.run(hook.get_async_settings())

    return read
