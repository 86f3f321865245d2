"""The example that asks a person: whole runs of it, answered over Airflow's own API while they wait."""

from __future__ import annotations

import inspect
import json
import socketserver
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS

from airflow_provider_klaviyo.emulator import Emulator

pytestmark = pytest.mark.skipif(not AIRFLOW_V_3_2_PLUS, reason="asking a person needs a newer Airflow")

DAG_ID = "approve_large_deletions"
EXAMPLE = Path(__file__).resolve().parents[1] / "example_dags" / f"{DAG_ID}.py"


class Mailbox(socketserver.ThreadingTCPServer):
    """Takes mail by SMTP on loopback, and keeps it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailHandler)
        self.mails: list[str] = []

    @property
    def connection(self) -> str:
        """The JSON of a connection to it."""
        host, port = self.server_address[:2]
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
        return json.dumps({"conn_type": "smtp", "host": host, "port": port, "extra": extra})


class MailHandler(socketserver.StreamRequestHandler):
    """Says yes to everything."""

    server: Mailbox

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            answer = {b"DATA": b"354 go on", b"QUIT": b"221 bye"}.get(line[:4].upper(), b"250 yes")
            self.wfile.write(answer + b"\r\n")
            if answer.startswith(b"354"):
                self.server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self.wfile.write(b"250 yes\r\n")
            if answer.startswith(b"221"):
                return


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as mailbox:
        Thread(target=mailbox.serve_forever, daemon=True).start()
        yield mailbox
        mailbox.shutdown()


@pytest.fixture
def deployed(
    airflow: Any,
    emulator: Emulator,
    ledger: Any,
    mailbox: Mailbox,
    tmp_path: Path,
    warehouse: Callable[..., Path],
    account: Callable[[Emulator], str],
) -> Callable[[int], Any]:
    """Return an Airflow with the example, made to ask from 11 on, and so many people, all of whom are in Klaviyo."""

    def deploy(number: int) -> Any:
        listed = [f"person.{one}@example.com" for one in range(number)]
        for email in listed:
            emulator.add_profile(email=email)
        airflow.dags = tmp_path / "dags"
        airflow.dags.mkdir()
        code = EXAMPLE.read_text()
        assert "max_profiles=1_000" in code
        (airflow.dags / EXAMPLE.name).write_text(code.replace("max_profiles=1_000", "max_profiles=10"))
        airflow.environment = {
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(warehouse(*listed))}),
            "AIRFLOW_CONN_KLAVIYO_DEFAULT": account(emulator),
            "AIRFLOW_CONN_KLAVIYO_LEDGER": ledger.connection,
            "AIRFLOW_CONN_SMTP_DEFAULT": mailbox.connection,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        }
        return airflow

    return deploy


def answer(option: str) -> None:
    """Wait for a question, answer it, and print it: in a process of its own, as a person's browser would."""
    import json
    import time

    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    client = TestClient(create_app(apps="core"))
    client.headers["Authorization"] = f"Bearer {client.get('/auth/token').json()['access_token']}"
    while True:
        asked = client.get("/api/v2/dags/~/dagRuns/~/hitlDetails").raise_for_status().json()["hitl_details"]
        if asked and asked[0]["task_instance"]["state"] == "awaiting_input":
            break
        time.sleep(0.2)
    at = asked[0]["task_instance"]
    task = f"/api/v2/dags/{at['dag_id']}/dagRuns/{at['dag_run_id']}/taskInstances/{at['task_id']}/-1"
    client.patch(f"{task}/hitlDetails", json={"chosen_options": [option], "params_input": {}}).raise_for_status()
    print(json.dumps(asked[0]))


@contextmanager
def answering(airflow: Any, option: str) -> Iterator[subprocess.Popen[str]]:
    code = f"from __future__ import annotations\n{inspect.getsource(answer)}\nanswer({option!r})"
    command = [sys.executable, "-W", "ignore", "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=airflow.settings(), stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def succeeded(run: subprocess.CompletedProcess[str]) -> bool:
    """Tell whether a run did, also where Airflow ends it with an error of its own: apache/airflow#73428."""
    return run.returncode == 0 or "'dict' object has no attribute 'hex'" in run.stderr


def test_a_large_plan_is_deleted_once_somebody_approves(
    deployed: Callable[[int], Any], emulator: Emulator, mailbox: Mailbox
) -> None:
    airflow = deployed(11)

    with answering(airflow, "Approve") as person:
        run = airflow.run(DAG_ID)
        question, errors = person.communicate(timeout=10)

    assert succeeded(run), run.stdout + run.stderr + errors
    assert set(airflow.states().values()) == {"success"}
    assert len(emulator.deleted) == 11
    assert airflow.results("confirm")[0]["confirmed"] == 11
    body = json.loads(question.splitlines()[-1])["body"]
    assert "| **profiles to delete** | **11** |" in body
    assert f"Klaviyo account {emulator.account.id}" in body
    (mail,) = mailbox.mails
    assert "To: privacy@example.com" in mail
    assert "Subject: Delete this many people from Klaviyo?" in mail


def test_a_large_plan_is_not_deleted_when_somebody_rejects(
    deployed: Callable[[int], Any], emulator: Emulator, ledger: Any
) -> None:
    airflow = deployed(11)

    with answering(airflow, "Reject") as person:
        run = airflow.run(DAG_ID)
        person.communicate(timeout=10)

    assert succeeded(run), run.stdout + run.stderr
    skipped = dict.fromkeys(["release", "delete", "confirm"], "skipped")
    assert airflow.states() == dict.fromkeys(["plan", "is_held", "approve"], "success") | skipped
    assert emulator.calls("profile_deletion") == 0
    assert ledger.rows("SELECT state FROM klaviyo_plans") == [("held",)]


def test_nobody_is_asked_about_a_small_plan(
    deployed: Callable[[int], Any], emulator: Emulator, mailbox: Mailbox
) -> None:
    airflow = deployed(3)

    run = airflow.run(DAG_ID)

    assert succeeded(run), run.stdout + run.stderr
    assert airflow.states() == {
        "plan": "success",
        "is_held": "success",
        "approve": "skipped",
        "release": "skipped",
        "delete[0]": "success",
        "confirm": "success",
    }
    assert len(emulator.deleted) == 3
    assert mailbox.mails == []
