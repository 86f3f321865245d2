"""`python -m airflow_provider_klaviyo.oauth`: from the page where somebody agrees to a refresh token that is good."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from airflow_provider_klaviyo import oauth
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

REDIRECT_URI = "https://shop.example.com/back"


class Browser(io.TextIOBase):
    """Standard input: opens the page that the command has printed, agrees, and gives the address that it is sent to."""

    def __init__(self, agree: Callable[[dict[str, str]], dict[str, str]], printed: Callable[[], str]) -> None:
        self.agree = agree
        self.printed = printed
        self.asked: dict[str, str] = {}

    def readline(self, _: int = -1) -> str:  # type: ignore[override]
        (url,) = [line for line in self.printed().splitlines() if line.startswith("https://www.klaviyo.com/oauth/")]
        self.asked = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
        return f"{self.asked['redirect_uri']}?{urlencode(self.agree(self.asked))}\n"


@pytest.fixture
def use(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command; return its status, what it printed, and what it complained of."""
    installation = emulator.add_installation()

    def use(secret: str = installation.client_secret, **changes: str) -> tuple[int, str, str]:
        def agree(asked: dict[str, str]) -> dict[str, str]:
            code = emulator.authorize(asked["client_id"], asked["code_challenge"], asked["redirect_uri"])
            return {"code": code, "state": asked["state"]} | changes

        printed: list[str] = []

        def printed_so_far() -> str:
            printed.append(capsys.readouterr().out)
            return printed[-1]

        browser = Browser(agree, printed_so_far)
        monkeypatch.setattr("sys.stdin", browser)
        monkeypatch.setattr(oauth, "getpass", lambda _: secret)
        arguments = ["--client-id", installation.client_id, "--redirect-uri", REDIRECT_URI, "--base-url", emulator.url]
        status = oauth.main([*arguments, "--scopes", "accounts:read", "profiles:read"])
        left = capsys.readouterr()
        assert browser.asked["scope"] == "accounts:read profiles:read"
        return status, "".join(printed) + left.out, left.err

    return use


def test_it_ends_with_a_refresh_token_that_is_good(
    emulator: Emulator, use: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status, printed, complaint = use()
    assert (status, complaint) == (0, "")
    installation = emulator.installations[0]
    assert printed.splitlines()[-1] == installation.refresh_token
    assert "'OAuth refresh token' (oauth_refresh_token)" in printed
    assert installation.client_secret not in printed
    app = {
        "oauth_client_id": installation.client_id,
        "oauth_client_secret": installation.client_secret,
        "oauth_refresh_token": printed.splitlines()[-1],
    }
    connection = {"conn_type": "klaviyo", "host": emulator.url, "extra": app}
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", json.dumps(connection))
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(ledger))
    with KlaviyoHook() as hook:
        assert hook.get_account().id == emulator.account.id


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"state": "somebody-elses"}, "No refresh token: this URL does not belong to this authorization"),
        ({"error": "access_denied"}, "No refresh token: Klaviyo did not authorise the app"),
        ({"code": "nonsense"}, "No refresh token: Klaviyo does not take the authorization code"),
        ({"code": ""}, "No refresh token: this URL has no authorization code"),
        ({"secret": "canary"}, "No refresh token: Klaviyo does not know the OAuth app"),
        ({"secret": "canary canary"}, "No refresh token: oauth_client_secret is empty, too long, or has white space"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(use: Callable[..., Any], changes: dict[str, str], complaint: str) -> None:
    status, printed, said = use(**changes)
    assert (status, said.count("\n")) == (1, 1)
    assert said.startswith(complaint)
    assert "canary" not in printed + said
    assert "oauth_refresh_token" not in printed


def test_who_goes_away_changes_nothing(emulator: Emulator) -> None:
    command = [
        sys.executable,
        "-m",
        "airflow_provider_klaviyo.oauth",
        "--client-id",
        "app",
        "--redirect-uri",
        REDIRECT_URI,
    ]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "Nothing was done.\n")
    assert "scope=accounts%3Aread%20data-privacy%3Awrite%20profiles%3Aread" in done.stdout
    assert emulator.calls() == 0


def test_two_authorizations_have_nothing_in_common(use: Callable[..., Any]) -> None:
    urls = [next(line for line in use()[1].splitlines() if line.startswith("https://www.")) for _ in range(2)]
    first, second = (parse_qs(urlsplit(url).query) for url in urls)
    assert {name for name in first if first[name] != second[name]} == {"state", "code_challenge"}
    assert len(first["state"][0]) > 40


def test_nothing_secret_is_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        oauth.main(["--help"])
    helped = capsys.readouterr().out
    assert "--client-id" in helped
    assert "--client-secret" not in helped
    assert "--refresh" not in helped
