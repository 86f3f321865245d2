"""Whatever fails while a list becomes a plan, nobody of it is half registered, and the error shows nobody."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoAuthenticationError, KlaviyoRateLimitError
from airflow_provider_klaviyo.ledger import planning
from airflow_provider_klaviyo.ledger.errors import LedgerSetupError, LedgerUnavailableError
from airflow_provider_klaviyo.sources.errors import SourceUnavailableError

# What SQL has no part in is tried on the quicker database only.
on_sqlite = pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)

CANARY = "canary.tweet"
PEOPLE = [f"{CANARY}.{number}@example.com" for number in range(4_000)]


def assert_shows_nobody(error: BaseException) -> None:
    """Look at all that a log, or a reporter of errors, could show."""
    seen: BaseException | None = error
    while seen is not None:
        assert CANARY not in str(seen)
        assert CANARY not in repr(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    assert CANARY not in "".join(traceback.format_exception(error))


def assert_nothing_is_left(shop: Any) -> None:
    assert shop.rows("plans") == []
    assert shop.rows("requests") == []
    assert shop.emulator.calls("profile_deletion") == 0


def until(number: int, do: Callable[[], object]) -> Iterator[object]:
    """List so many people, do something, and list the others."""
    yield from PEOPLE[:number]
    do()
    yield from PEOPLE[number:]


def test_a_source_that_breaks_off(shop: Any) -> None:
    def broken() -> None:
        raise SourceUnavailableError("the warehouse is gone")

    shop.emulator.add_profile(email=PEOPLE[0])
    with pytest.raises(SourceUnavailableError) as caught:
        shop.plan(until(3_500, broken))
    assert_shows_nobody(caught.value)
    assert_nothing_is_left(shop)
    plan = shop.plan(PEOPLE)
    assert (plan["listed"], plan["profiles"]) == (4_000, 1)


@on_sqlite
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"name": "key_revoked"}, KlaviyoAuthenticationError),
        ({"name": "truncated_json"}, KlaviyoAnswerError),
        ({"name": "throttled", "retry_after": 3_600}, KlaviyoRateLimitError),
    ],
)
def test_klaviyo_breaks_off(shop: Any, fault: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        shop.plan(until(1_500, lambda: shop.emulator.fault(**fault)))
    assert_shows_nobody(caught.value)
    assert_nothing_is_left(shop)


def test_the_task_is_killed_half_way(shop: Any) -> None:
    """A time-out of Airflow's is no error of ours, and stops it anywhere."""

    def killed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.plan(until(3_500, killed))
    assert_nothing_is_left(shop)


def test_the_worker_dies_half_way(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody tidies up until the next plan of the same task does."""

    def killed() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(planning, "_discard", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            shop.plan(until(3_500, killed), absent_looks=1)
    (half,) = shop.rows("plans")
    assert half["state"] == "registering"
    assert shop.rows("requests") != []
    assert shop.plan(["nobody@example.com"], run="another run")["known"] == 0
    assert half in shop.rows("plans")

    plan = shop.plan(PEOPLE[:10])

    assert plan["known"] == 0
    assert half["plan_id"] not in {row["plan_id"] for row in [*shop.rows("plans"), *shop.rows("requests")]}


@on_sqlite
def test_what_a_dead_worker_has_left_is_put_away_after_a_day_by_anybody(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(planning, "_discard", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            shop.plan(until(3_500, killed))
    shop.run("UPDATE klaviyo_plans SET touched_at = '2026-01-01 00:00:00.000000'")
    plan = shop.plan([], run="another run")
    assert [row["plan_id"] for row in shop.rows("plans")] == [plan["plan_id"]]
    assert shop.rows("requests") == []


@pytest.mark.parametrize("finished", [True, False])
def test_a_plan_that_came_to_its_end_stays_whatever_goes_wrong_after_that(
    shop: Any, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """The answer to a commit can be lost, and a time-out can come right after it."""
    shop.emulator.add_profile(email=PEOPLE[0])
    finish = planning._finish

    def lost(*arguments: Any) -> None:
        if finished:
            finish(*arguments)
        raise LedgerUnavailableError("the ledger's database failed: no answer")

    with monkeypatch.context() as patch:
        patch.setattr(planning, "_finish", lost)
        with pytest.raises(LedgerUnavailableError):
            shop.plan(PEOPLE[:5])
    plan = shop.plan(PEOPLE[:5])
    assert len(shop.rows("plans")) == 1
    assert shop.counts(plan) == {"planned": 1, "absent": 4}
    shop.drain(shop.batches(plan))
    assert len(shop.emulator.deleted) == 1


@pytest.mark.parametrize("at", [1, 3_500])
def test_two_tries_of_one_task_at_once_leave_one_plan(shop: Any, at: int) -> None:
    """A scheduler that takes a worker for dead begins anew, while the worker is still at it."""
    shop.emulator.add_profile(email=PEOPLE[0])
    second: list[dict[str, Any]] = []
    with pytest.raises(LedgerSetupError, match="was given up meanwhile, by another try of this task"):
        shop.plan(until(at, lambda: second.append(shop.plan(PEOPLE[:5]))))
    assert [row["plan_id"] for row in shop.rows("plans")] == [second[0]["plan_id"]]
    assert {row["plan_id"] for row in shop.rows("requests")} == {second[0]["plan_id"]}
    assert shop.counts(second[0]) == {"planned": 1, "absent": 4}


def refuse_rows(shop: Any, *, after: int) -> None:
    """Let the database refuse requests from some number on, in words that quote them."""
    if "sqlite" in str(shop.engine.url):
        shop.run(
            f"CREATE TRIGGER full BEFORE INSERT ON klaviyo_requests WHEN NEW.number > {after} "
            f"BEGIN SELECT RAISE(ABORT, '{CANARY} is not welcome'); END"
        )
    else:
        shop.run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF NEW.number > {after} THEN RAISE EXCEPTION '{CANARY} is not welcome'; END IF; "
            "RETURN NEW; END $$",
            "CREATE TRIGGER refuses BEFORE INSERT ON klaviyo_requests FOR EACH ROW EXECUTE FUNCTION refuse()",
        )


@pytest.fixture
def without_function(shop: Any) -> Iterator[None]:
    yield
    if "sqlite" not in str(shop.engine.url):
        shop.run("DROP FUNCTION IF EXISTS refuse CASCADE")


@pytest.mark.usefixtures("without_function")
def test_the_ledger_refuses_rows_half_way(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    with shop.open():
        refuse_rows(shop, after=1_500)
    shop.emulator.add_profile(email=PEOPLE[0])
    with pytest.raises(LedgerUnavailableError, match="the ledger's database failed: ") as caught:
        shop.plan(PEOPLE)
    assert_shows_nobody(caught.value)
    assert CANARY not in caplog.text
    assert_nothing_is_left(shop)


@pytest.fixture
def own_database(postgres_connection: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PostgreSQL database to be treated badly; its name."""
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", postgres_connection)
    return str(json.loads(postgres_connection)["schema"])


@pytest.mark.parametrize("ledger_connection", ["postgresql"], indirect=True)
def test_the_ledger_stops_half_way_and_comes_back(
    ledger_connection: str, own_database: str, postgresql: Any, shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop.emulator.add_profile(email=PEOPLE[0])
    with pytest.raises(LedgerUnavailableError) as caught:
        shop.plan(until(3_500, postgresql.stop))
    assert_shows_nobody(caught.value)
    assert CANARY not in caplog.text
    assert "counts for nothing, and is removed by a later plan" in caplog.text
    with pytest.raises(LedgerUnavailableError):
        shop.plan(PEOPLE)
    postgresql.start()
    plan = shop.plan(PEOPLE)
    assert [row["plan_id"] for row in shop.rows("plans")] == [plan["plan_id"]]
    assert {row["plan_id"] for row in shop.rows("requests")} == {plan["plan_id"]}
    assert (plan["listed"], plan["profiles"]) == (4_000, 1)


@pytest.mark.parametrize("ledger_connection", ["postgresql"], indirect=True)
def test_the_ledger_becomes_read_only(ledger_connection: str, own_database: str, shop: Any) -> None:
    plan = shop.plan(["nobody@example.com"])
    shop.run(f'ALTER DATABASE "{own_database}" SET default_transaction_read_only = on')
    shop.account()
    shop.emulator.reset_counts()
    with pytest.raises(LedgerUnavailableError, match="cannot execute INSERT in a read-only transaction") as caught:
        shop.plan(PEOPLE, run="run 2")
    assert_shows_nobody(caught.value)
    assert shop.emulator.calls("get_profiles") == 0
    assert [row["plan_id"] for row in shop.rows("plans")] == [plan["plan_id"]]


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
def test_a_file_that_may_only_be_read(shop: Any, quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = shop.plan(["nobody@example.com"])
    shop.close()
    connection = {
        "conn_type": "sqlite",
        "host": str(quick_folder / "ledger.db"),
        "extra": {"mode": "ro"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(connection))
    with pytest.raises(LedgerSetupError, match="a ledger is written to a file") as caught:
        shop.plan(PEOPLE, run="run 2")
    assert_shows_nobody(caught.value)
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(connection | {"extra": {}}))
    assert [row["plan_id"] for row in shop.rows("plans")] == [plan["plan_id"]]
