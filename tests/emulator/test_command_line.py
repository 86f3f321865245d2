"""The emulator as a process of its own, steered over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock
from airflow_provider_klaviyo.emulator.people import fake_people, people_from_file

COMMAND = [sys.executable, "-m", "airflow_provider_klaviyo.emulator"]
Ask = Callable[..., httpx.Response]


@pytest.fixture
def control(emulator: Emulator) -> Iterator[httpx.Client]:
    """A client of the controls: it has no key."""
    with httpx.Client(base_url=f"{emulator.url}/_emulator", trust_env=False) as client:
        yield client


def test_people_can_be_loaded_in_bulk(emulator: Emulator, control: httpx.Client) -> None:
    people = [{"email": f"{number}@example.com"} for number in range(20_000)]
    began = time.perf_counter()
    response = control.post("/profiles", json={"profiles": people}, timeout=60)
    assert time.perf_counter() - began < 5
    assert len(response.json()["profile_ids"]) == 20_000
    listed = control.get("/profiles", params={"account": emulator.account.id}, timeout=60).json()["profiles"]
    assert listed[0] == {
        "profile_id": response.json()["profile_ids"][0],
        **dict.fromkeys(("phone_number", "external_id", "first_name", "last_name")),
        "email": "0@example.com",
        "properties": {},
        "suppressed": False,
        "created": 1_800_000_000,
    }
    assert [profile["email"] for profile in listed] == [person["email"] for person in people]


def test_deletions_and_the_report_can_be_read(
    emulator: Emulator, control: httpx.Client, erase: Ask, clock: ManualClock
) -> None:
    profile_id = emulator.add_profile("ada@example.com")
    erase(email="ada@example.com")
    assert control.get("/deletions").json() == {
        "requests": [profile_id],
        "pending": [profile_id],
        "deleted": [],
    }
    clock.advance(1)
    assert control.get("/deletions").json()["deleted"] == [profile_id]
    assert control.get("/report").json() == emulator.report()


def test_faults_can_be_switched_and_everything_reset(
    emulator: Emulator, control: httpx.Client, api: httpx.Client
) -> None:
    emulator.add_profile("ada@example.com")
    body = {"name": "server_error_html", "endpoint": "get_profiles", "times": 5, "status": 502}
    (fault,) = control.post("/faults", json=body).json()["faults"]
    assert (fault["name"], fault["options"]) == ("server_error_html", {"status": 502})
    assert api.get("/api/profiles").status_code == 502
    assert control.get("/faults").json()["faults"][0]["struck"] == 1
    assert control.delete("/faults", params={"name": "redirect"}).json()["faults"] != []
    assert control.delete("/faults").json()["faults"] == []

    control.post("/faults", json=body)
    assert control.post("/reset").json() == {}
    assert emulator.calls() == 0
    assert len(emulator.profiles()) == len(emulator.faults) == 1
    control.post("/reset", json={"people": True, "faults": True})
    assert emulator.profiles() == []
    assert emulator.faults == []


def test_accounts_and_keys_can_be_added(emulator: Emulator, control: httpx.Client, connect: Any) -> None:
    account = control.post("/accounts", json={"organization_name": "Other Shop"}).json()
    key = control.post("/keys", json={"account": account["id"], "scopes": ["accounts:read"]}).json()["key"]
    assert connect(emulator, key).get("/api/accounts").json()["data"][0]["id"] == account["id"]
    assert connect(emulator, key).get("/api/profiles").status_code == 403
    listed = control.get("/accounts").json()["accounts"]
    assert [one["id"] for one in listed] == [emulator.account.id, account["id"]]


def test_people_can_be_put_into_lists_and_segments(
    emulator: Emulator, control: httpx.Client, api: httpx.Client
) -> None:
    ada = emulator.add_profile("ada@example.com")
    for kind in ("list", "segment"):
        group_id = control.post(f"/{kind}s", json={"name": "Everybody"}).json()[f"{kind}_id"]
        assert control.post(f"/{kind}s/members", json={"profile_id": ada, f"{kind}_id": group_id}).json() == {}
        assert api.get(f"/api/profiles/{ada}/{kind}s").json()["data"][0]["id"] == group_id


def test_who_is_suppressed_can_be_read(
    emulator: Emulator, control: httpx.Client, api: httpx.Client, clock: ManualClock
) -> None:
    profile = {"type": "profile", "attributes": {"email": "ada@example.com"}}
    attributes = {"profiles": {"data": [profile]}}
    body = {"data": {"type": "profile-suppression-bulk-create-job", "attributes": attributes}}
    headers = {"Content-Type": "application/vnd.api+json"}
    api.post("/api/profile-suppression-bulk-create-jobs", json=body, headers=headers)
    assert control.get("/suppressed").json() == {"suppressed": []}
    clock.advance(1)
    (ada,) = control.get("/profiles").json()["profiles"]
    assert ada["suppressed"] is True
    assert control.get("/suppressed").json() == {"suppressed": [ada["profile_id"]]}


def test_apps_can_be_installed_and_revoked(emulator: Emulator, control: httpx.Client, api: httpx.Client) -> None:
    app = control.post("/installations", json={"expires_in": 60, "rotates": False}).json()
    assert app.keys() == {"account_id", "client_id", "client_secret", "refresh_token"}
    assert control.get("/installations").json() == {"installations": [app]}
    challenge = {"code_challenge": "x" * 43, "redirect_uri": "https://app.example.com"}
    named = {"client_id": app["client_id"]}
    assert len(control.post("/installations/codes", json={**named, **challenge}).json()["code"]) == 40

    def refresh() -> httpx.Response:
        fields = {"grant_type": "refresh_token", "refresh_token": app["refresh_token"]}
        auth = (app["client_id"], app["client_secret"])
        return httpx.post(f"{emulator.url}/oauth/token", data=fields, auth=auth, trust_env=False)

    api.headers["Authorization"] = f"Bearer {refresh().json()['access_token']}"
    assert api.get("/api/profiles").status_code == 200
    assert control.post("/installations/expire", json=named).json() == {}
    assert api.get("/api/profiles").status_code == 401
    assert refresh().status_code == 200
    assert control.post("/installations/revoke", json={**named, "account": app["account_id"]}).json() == {}
    assert refresh().json() == {"error": "invalid_grant"}


def test_people_can_do_something(emulator: Emulator, control: httpx.Client, api: httpx.Client) -> None:
    ada = emulator.add_profile("ada@example.com")
    body = {"profile_id": ada, "metric_name": "Placed Order", "properties": {"total": 1}, "at": 5}
    event_id = control.post("/events", json=body).json()["event_id"]
    (event,) = api.get("/api/events").json()["data"]
    assert (event["id"], event["attributes"]["timestamp"]) == (event_id, 5)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"name": "nonsense"}),
        ("/faults", {}),
        ("/profiles", {}),
        ("/profiles", {"profiles": [{"shoe_size": 44}]}),
        ("/profiles", []),
        ("/keys", {"account": "nobody"}),
        ("/installations/revoke", {"client_id": "nobody"}),
        ("/lists/members", {"profile_id": "nobody", "list_id": "nothing"}),
    ],
)
def test_nonsense_is_a_400_with_a_reason(control: httpx.Client, path: str, body: object) -> None:
    response = control.post(path, json=body)
    assert response.status_code == 400
    assert response.json()["error"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_announces_itself_and_stops_with_a_report(tmp_path: Path, number: signal.Signals) -> None:
    people = tmp_path / "people.csv"
    people.write_text("email,external_id\nada@example.com,customer-ada\n", encoding="utf-8")
    ready = tmp_path / "ready.json"
    arguments = ["--profiles", "5", "--profiles-file", str(people), "--ready-file", str(ready)]
    arguments += ["--account-id", "AbC123", "--key", "pk_given", "--latency-seconds", "0.001-0.002"]
    arguments += ["--suppression-seconds", "0"]
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True))
        stack.callback(process.kill)
        assert process.stdout is not None
        readable, parsable = process.stdout.readline(), process.stdout.readline()
        told = json.loads(parsable)
        assert told["url"] in readable
        assert (told["account_id"], told["key"]) == ("AbC123", "pk_given")
        assert json.loads(ready.read_text(encoding="utf-8")) == told
        headers = {"Authorization": "Klaviyo-API-Key pk_given", "revision": "2026-04-15"}
        found = httpx.get(f"{told['url']}/api/profiles", headers=headers, trust_env=False).json()["data"]
        assert len(found) == 6
        process.send_signal(number)
        rest, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "get_profiles" in rest
    assert "1 x 200" in rest
    assert "example.com" not in rest


def test_help_names_units_and_defaults() -> None:
    text = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    assert "in seconds; MIN-MAX for a range (0.2)" in " ".join(text.split())


def test_made_up_people_have_addresses_that_belong_to_nobody() -> None:
    people = list(fake_people(10_001))
    assert people[0] == {
        "email": "person-1@example.com",
        "phone_number": "+15005550000",
        "external_id": "customer-1",
    }
    assert people[9_999]["phone_number"] == "+15005559999"
    assert people[10_000]["phone_number"] is None


def test_people_are_read_from_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(
        '{"email": "ada@example.com", "phone_number": "", "first_name": "Ada"}\n{"shoe_size": 44}\n', encoding="utf-8"
    )
    people = people_from_file(path)
    assert next(people) == {"email": "ada@example.com", "phone_number": None, "first_name": "Ada"}
    with pytest.raises(ValueError, match="record 2"):
        next(people)
