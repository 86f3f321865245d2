"""No address and no key anywhere but where the DAG's author put them: a canary in every place that Airflow keeps."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from airflow_provider_klaviyo.emulator import Emulator

CANARY = "canary.tweet"
KEY = "pk_canary_0123456789abcdef"
FINGERPRINT_KEY = "canary_fingerprint_0123456789abcdef"
SECRETS = (CANARY, "555010", KEY, FINGERPRINT_KEY)
AUTHORS_OWN = ("people", "mapped_people")


def everything_kept(airflow: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every row of the metadata database and of every log file, and all file names."""
    with closing(sqlite3.connect(airflow.home / "airflow.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                if table == "xcom" and row[names.index("task_id")] in AUTHORS_OWN:
                    continue
                yield f"table {table}", " ".join(map(str, row))
    for path in airflow.home.parent.rglob("*"):
        yield "file name", str(path.relative_to(airflow.home.parent))
    for path in (airflow.home / "logs").rglob("*.log"):
        yield f"log {path.name}", path.read_text(errors="replace")


def assert_nothing_personal(run: Any, airflow: Any) -> None:
    kept = [("output", run.stdout + run.stderr), *everything_kept(airflow)]
    assert {"table rendered_task_instance_fields", "table task_instance"} <= {place for place, _ in kept}
    assert_none_in(kept)


def assert_none_in(kept: Iterable[tuple[str, str]]) -> None:
    for place, text in kept:
        lower = text.lower()
        for secret in SECRETS:
            assert secret not in lower, f"{secret} in {place}: …{text[max(0, lower.index(secret) - 300) :][:600]}"


def everything_in(ledger: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every row of a ledger, but for who is still to be deleted or confirmed."""
    for (table,) in ledger.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        names = [row[1] for row in ledger.rows(f'PRAGMA table_info("{table}")')]
        for row in ledger.rows(f'SELECT * FROM "{table}"'):
            shown = dict(zip(names, row, strict=True))
            if shown.get("outcome") in {"planned", "requested"}:
                assert table == "klaviyo_requests"
                del shown["identifier"]
            yield f"ledger {table}", " ".join(map(str, shown.values()))


@pytest.fixture
def klaviyo(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A Klaviyo that takes two seconds to delete somebody, or as many as the test says."""
    with Emulator(limit_factor=1_000, deletion_seconds=getattr(request, "param", 2), key=KEY) as emulator:
        yield emulator


def people(way: str) -> list[str]:
    return [f"{CANARY}.{way}+1@example.com", f"Canary.Tweet.{way}@example.com", "+15005550100", "canary.tweet no mail"]


def test_a_run_in_every_mode_deletes_and_confirms_and_leaves_nothing(
    airflow: Any, klaviyo: Emulator, connection: Callable[[Emulator], str]
) -> None:
    ways = ("poke", "reschedule", "defer", "addresses", "mapped")
    listed = {way: [*people(way)[:2], f"+1500555010{number}", f"{CANARY} no mail"] for number, way in enumerate(ways)}
    present = {klaviyo.add_profile(email=emails[0].lower()) for emails in listed.values()}
    present |= {
        klaviyo.add_profile(phone_number=emails[2], email=f"{CANARY}.by.phone@example.com")
        for emails in listed.values()
    }
    airflow.environment = {"AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(klaviyo), "PEOPLE": json.dumps(listed)}

    run = airflow.run("people_from_a_task")

    assert run.returncode == 0, run.stdout + run.stderr
    assert klaviyo.deleted == present
    assert set(airflow.states().values()) == {"success"}
    for way in ways:
        total = 3 if way == "addresses" else 2
        assert airflow.results(way) == [{"confirmed": total, "reappeared": 0}], way
    assert run.stdout.count(" profiles are still there") >= len(ways), "somebody is waited for in every way"
    outcomes = [(result["requested"], result["absent"], result["invalid"]) for result in airflow.results("one_by_one")]
    assert outcomes == [(1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)]
    assert_nothing_personal(run, airflow)


@pytest.mark.parametrize("fault", ["deletion_refused", "unasked_profile"])
def test_a_run_with_a_fault_leaves_nothing(
    fault: str,
    airflow: Any,
    klaviyo: Emulator,
    warehouse: Callable[..., Path],
    connection: Callable[[Emulator], str],
) -> None:
    for email in people("failing")[:2]:
        klaviyo.add_profile(email=email.lower())
    klaviyo.add_profile(email=f"{CANARY}.decoy@example.com")
    klaviyo.fault(fault)
    path = warehouse(*people("failing"), f"{CANARY}.absent@example.com", f"{CANARY}.\x00@example.com")
    airflow.environment = {
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(path)}),
        "AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(klaviyo),
        # Not everything: Airflow 3 itself logs secrets at this level when it tests a DAG.
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "httpx=DEBUG httpcore=DEBUG airflow_provider_klaviyo=DEBUG",
    }

    run = airflow.run("people_in_a_warehouse")

    assert (run.returncode == 0) == (fault == "unasked_profile"), run.stdout + run.stderr
    assert len(klaviyo.profiles()) == (1 if fault == "unasked_profile" else 3)
    assert_nothing_personal(run, airflow)


@pytest.fixture
def planned(
    airflow: Any,
    klaviyo: Emulator,
    ledger: Any,
    warehouse: Callable[..., Path],
    connection: Callable[..., str],
    tmp_path: Path,
) -> Callable[..., Any]:
    """Return an Airflow with plans from every kind of source, all of whose people are in Klaviyo but one of each."""

    def deploy(**extra: Any) -> Any:
        emails = {way: [email.lower() for email in people(way)[:2]] for way in ("sql", "path", "held")}
        phone, external_id = "+15005550101", f"{CANARY}-42"
        for email in chain.from_iterable(emails.values()):
            klaviyo.add_profile(email=email)
        klaviyo.add_profile(phone_number=phone, email=f"{CANARY}.by.phone@example.com")
        klaviyo.add_profile(external_id=external_id, email=f"{CANARY}.by.id@example.com")
        listed = [phone, {"external_id": external_id}, f"{CANARY}.absent@example.com", f"{CANARY} no mail"]
        database = warehouse(*people("sql"), f"{CANARY}.absent.too@example.com")
        with closing(sqlite3.connect(database)) as opened, opened:
            opened.execute("UPDATE suppression_list SET received_at = email WHERE request_id = 1")
            opened.execute("CREATE TABLE held_list AS SELECT * FROM suppression_list WHERE 0")
            opened.executemany("INSERT INTO held_list (email) VALUES (?)", [(email,) for email in emails["held"]])
        file = tmp_path / "people.csv"
        file.write_text("\n".join(["email,regulation", *(f"{email},{email}" for email in people("path"))]))
        known = {"account_id": klaviyo.account.id, "fingerprint_key": FINGERPRINT_KEY}
        airflow.environment = {
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(database)}),
            "AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(klaviyo, **known, **extra),
            "AIRFLOW_CONN_KLAVIYO_LEDGER": ledger.connection,
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "httpx=DEBUG httpcore=DEBUG airflow_provider_klaviyo=DEBUG",
            "PEOPLE": json.dumps(listed),
            "PEOPLE_PATH": str(file),
        }
        return airflow

    return deploy


def outcomes(ledger: Any) -> dict[tuple[str, str], tuple[int, int]]:
    """Return how many requests there are of each plan and outcome, and how many of them say whose they are."""
    query = (
        "SELECT state, outcome, count(*), count(identifier) FROM klaviyo_requests JOIN klaviyo_plans USING (plan_id) "
        "GROUP BY 1, 2"
    )
    return {(state, outcome): (number, raw) for state, outcome, number, raw in ledger.rows(query)}


def test_plans_of_every_source_leave_nothing(planned: Callable[..., Any], klaviyo: Emulator, ledger: Any) -> None:
    airflow = planned()

    run = airflow.run("plans")

    assert run.returncode == 0, run.stdout + run.stderr
    assert len(klaviyo.deleted) == 6
    found = outcomes(ledger)
    assert found["ready", "confirmed"] == (6, 0)
    assert found["held", "planned"] == (2, 2)
    assert all(raw == 0 for (state, _), (_, raw) in found.items() if state == "ready"), found
    assert "klaviyo_paces" in {place.split()[-1] for place, _ in everything_in(ledger)}
    assert_none_in(everything_in(ledger))
    assert_nothing_personal(run, airflow)


def test_plans_that_break_off_half_way_leave_nothing(
    planned: Callable[..., Any], klaviyo: Emulator, ledger: Any
) -> None:
    one_a_second = {"profile_deletion": {"burst": 1, "steady": 60}}
    airflow = planned(limits=one_a_second)

    def refuse_all_but_the_first() -> None:
        while not klaviyo.deletion_requests:
            time.sleep(0.02)
        klaviyo.fault("deletion_refused")

    Thread(target=refuse_all_but_the_first, daemon=True).start()
    run = airflow.run("plans")

    assert run.returncode != 0
    found = outcomes(ledger)
    assert found.get(("ready", "requested")) == (1, 1), (found, run.stdout + run.stderr)
    assert found["ready", "planned"][0] == found["ready", "planned"][1] > 0
    assert_none_in(everything_in(ledger))
    assert_nothing_personal(run, airflow)


@pytest.fixture
def requested(airflow: Any, warehouse: Callable[..., Path], ledger: Any, tmp_path: Path) -> Callable[..., Any]:
    """Return an Airflow with requests of all four kinds, and this connection to Klaviyo."""

    def deploy(klaviyo_default: str) -> Any:
        airflow.dags = Path(__file__).resolve().parents[1] / "example_dags"
        database = warehouse()
        columns = (
            "request_id, kind, email, external_id, new_email, new_phone_number, received_at, regulation, closed_at"
        )
        rows = [
            (f"{CANARY}@example.com", "access", "Canary.Tweet.Access@example.com", None, None, None),
            ("2", "access", f"{CANARY}.unknown@example.com", None, None, None),
            ("3", "access", f"{CANARY} no mail", None, None, None),
            ("4", "rectification", None, f"{CANARY}-4", f"{CANARY}.new@example.com", "+15005550104"),
            ("5", "rectification", None, f"{CANARY}-5", f"{CANARY}.taken@example.com", None),
            ("6", "rectification", None, f"{CANARY}-6", f"{CANARY} no mail", "5005550106"),
            ("7", "restriction", f"{CANARY}.restriction@example.com", None, None, None),
            ("8", "restriction", f"{CANARY}.unknown@example.com", None, None, None),
            ("9", "erasure", f"{CANARY}.erasure@example.com", None, None, None),
        ]
        with closing(sqlite3.connect(database)) as opened, opened:
            opened.execute(f"CREATE TABLE data_subject_requests ({columns})")
            opened.executemany(
                "INSERT INTO data_subject_requests VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
                rows,
            )
        airflow.environment = {
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(database)}),
            "AIRFLOW_CONN_KLAVIYO_DEFAULT": klaviyo_default,
            "AIRFLOW_CONN_KLAVIYO_LEDGER": ledger.connection,
            "AIRFLOW_VAR_KLAVIYO_EXPORTS": f"file://{tmp_path / 'exports'}",
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "httpx=DEBUG httpcore=DEBUG airflow_provider_klaviyo=DEBUG",
        }
        return airflow

    return deploy


@pytest.fixture
def people_who_ask(klaviyo: Emulator) -> dict[str, str]:
    """The people who ask for something, by what; and one whose address somebody else wants to have."""
    add = klaviyo.add_profile
    found = {
        "access": add(email=f"{CANARY}.access@example.com", first_name="Canary.Tweet"),
        "restriction": add(email=f"{CANARY}.restriction@example.com"),
        "erasure": add(email=f"{CANARY}.erasure@example.com"),
        "taken": add(email=f"{CANARY}.taken@example.com"),
    }
    klaviyo.add_event(found["access"], "Placed Order", {"to": f"{CANARY}.access@example.com"})
    klaviyo.add_to_list(found["access"], klaviyo.add_list(f"Friends of {CANARY}"))
    return found | {f"customer {number}": add(external_id=f"{CANARY}-{number}") for number in (4, 5, 6)}


@pytest.mark.parametrize("klaviyo", [0], indirect=True, ids=["at once"])
@pytest.mark.parametrize("way", ["key", "oauth"])
def test_whatever_people_ask_for_leaves_nothing(
    requested: Callable[..., Any],
    people_who_ask: dict[str, str],
    klaviyo: Emulator,
    ledger: Any,
    connection: Callable[..., str],
    tmp_path: Path,
    way: str,
) -> None:
    known = {"account_id": klaviyo.account.id, "fingerprint_key": FINGERPRINT_KEY}
    klaviyo_default = json.loads(connection(klaviyo, **known))
    if way == "oauth":
        app = klaviyo.add_installation(client_secret=f"{CANARY}_secret")
        klaviyo_default["password"] = None
        klaviyo_default["extra"] |= {
            "oauth_client_id": app.client_id,
            "oauth_client_secret": app.client_secret,
            "oauth_refresh_token": app.refresh_token,
        }
    airflow = requested(json.dumps(klaviyo_default))

    run = airflow.run("handle_data_subject_requests")

    assert run.returncode == 0, run.stdout + run.stderr
    assert klaviyo.deleted == {people_who_ask["erasure"]}
    assert klaviyo.suppressed == {people_who_ask["restriction"]}, "the other one is gone, and the unknown stays unknown"
    exports = {path.name: path.read_text() for path in (tmp_path / "exports").iterdir()}
    assert sum(CANARY in text.lower() for text in exports.values()) == len(exports) == 2
    (outcomes,) = airflow.results("outcomes")
    assert outcomes["rectification"] == {"listed": 3, "updated": 1, "duplicate_profile": 1, "invalid": 1}
    kept = list(everything_kept(airflow))
    assert_none_in(everything_in(ledger))
    assert_nothing_personal(run, airflow)
    if way == "oauth":
        assert klaviyo.calls("oauth_token", 200) == 1, "one token is enough for all tasks"
        tokens = [app.refresh_token, *(one.refresh_token for one in klaviyo.installations)]
        places = [("output", run.stdout + run.stderr), *kept, *everything_in(ledger)]
        assert not [place for place, text in places for token in tokens if token in text]
