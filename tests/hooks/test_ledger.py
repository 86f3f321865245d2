"""A ledger behind an Airflow connection: what is missing is named, and nothing stays open."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.ledger import open_ledger
from airflow_provider_klaviyo.ledger.errors import HeldPlanError, LedgerError, LedgerSetupError, LedgerUnavailableError

KEY = "a key that is long enough for a fingerprint"
CANARY = "canary"


@pytest.fixture
def shop(emulator: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(account_id=emulator.account.id, fingerprint_key=KEY)
    return emulator


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Point the connection ``klaviyo_ledger`` somewhere; by default to a file."""

    def ledger(**connection: Any) -> None:
        given = connection or {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
        monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(given))

    ledger()
    return ledger


def use() -> None:
    with open_ledger("klaviyo_ledger", "shop", "somebody"):
        pass


@pytest.mark.usefixtures("ledger")
def test_calls_keep_the_pace_of_the_ledger(shop: Emulator) -> None:
    with open_ledger("klaviyo_ledger", "shop", "somebody") as (opened, hook):
        assert hook.get_account().id == shop.account.id == opened.account_id
        assert opened.actor == "somebody"
        assert set(opened.paces._locals) == {(f"{shop.url} {shop.account.id}", "get_account")}


@pytest.mark.usefixtures("ledger")
def test_a_missing_account_is_named(connect: Callable[..., str]) -> None:
    connect(fingerprint_key=KEY)
    with pytest.raises(KlaviyoConfigurationError, match=r"a ledger needs the field 'Account id' \(account_id\)"):
        use()


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("extra", [{}, {"fingerprint_key": ""}])
def test_a_missing_key_is_named_with_the_command_that_makes_one(
    emulator: Emulator, connect: Callable[..., str], extra: dict[str, str]
) -> None:
    connect(account_id=emulator.account.id, **extra)
    with pytest.raises(KlaviyoConfigurationError, match=r"Connection 'shop'.*fingerprint_key") as caught:
        use()
    assert 'python -c "import secrets; print(secrets.token_urlsafe(32))"' in str(caught.value)


@pytest.mark.usefixtures("ledger")
def test_a_short_key_is_named_and_not_shown(emulator: Emulator, connect: Callable[..., str]) -> None:
    connect(account_id=emulator.account.id, fingerprint_key=CANARY)
    with pytest.raises(KlaviyoConfigurationError, match="fingerprint_key is shorter than 32") as caught:
        use()
    assert CANARY not in str(caught.value)


@pytest.mark.usefixtures("shop")
def test_a_connection_that_is_not_there() -> None:
    with pytest.raises(LedgerSetupError, match="Ledger 'klaviyo_ledger': there is no such connection: create one to"):
        use()


@pytest.mark.usefixtures("shop")
@pytest.mark.filterwarnings("ignore")  # Airflow 2.11 imports its web server to find a hook.
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conn_type": "fs"}, "the connection is no database: its hook is FSHook"),
        ({"conn_type": "canary"}, r"the connection's type has no hook here \(.*\): is its provider installed"),
        ({"conn_type": "sqlite", "host": ":memory:"}, "a database in memory is forgotten with the task"),
        ({"conn_type": "sqlite"}, "a database in memory is forgotten with the task"),
    ],
)
def test_a_connection_that_can_keep_no_ledger(
    ledger: Callable[..., None], fields: dict[str, Any], message: str
) -> None:
    ledger(**fields)
    with pytest.raises(LedgerSetupError, match=f"Ledger 'klaviyo_ledger': {message}"):
        use()


@pytest.mark.usefixtures("shop")
def test_a_server_that_is_down_shows_no_password(ledger: Callable[..., None]) -> None:
    ledger(conn_type="postgres", host="127.0.0.1", port=1, login="somebody", password=CANARY, schema="x")
    with pytest.raises(
        LedgerUnavailableError, match="Ledger 'klaviyo_ledger': the ledger's database failed: "
    ) as caught:
        use()
    assert CANARY not in str(caught.value)
    assert "refused" in str(caught.value)


@pytest.mark.usefixtures("shop", "ledger")
@pytest.mark.parametrize("kind", [LedgerUnavailableError, LedgerSetupError, HeldPlanError])
def test_an_error_says_which_ledger_and_stays_what_it_is(kind: type[LedgerError]) -> None:
    with (
        pytest.raises(kind, match=r"^Ledger 'klaviyo_ledger': for a test$") as caught,
        open_ledger("klaviyo_ledger", "shop", "somebody"),
    ):
        raise kind("for a test")
    assert type(caught.value) is kind


@pytest.mark.usefixtures("shop", "ledger")
def test_any_other_error_passes_and_everything_is_closed() -> None:
    with (  # noqa: PT012
        pytest.raises(ZeroDivisionError),
        open_ledger("klaviyo_ledger", "shop", "somebody") as (_, hook),
    ):
        hook.get_conn()
        raise ZeroDivisionError
    assert hook._client is None
    assert gc.collect() >= 0, "an open connection would be a warning, and that an error"
