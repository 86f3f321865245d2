"""Somebody lets an app in: the URL to agree at, and no other page is taken for the answer."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_klaviyo.api.authorization import authorization_url, challenge_of, read_code
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
)


def test_the_challenge_is_that_of_the_standard() -> None:
    """Source: https://www.rfc-editor.org/rfc/rfc7636#appendix-B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_url_to_agree_at() -> None:
    url = authorization_url(
        "the-app",
        redirect_uri="https://shop.example.com/back?x=1&y",
        scopes=["profiles:read", "accounts:read"],
        state="st&te",
        code_verifier="canary-verifier",
    )
    assert url.startswith("https://www.klaviyo.com/oauth/authorize?response_type=code&client_id=the-app&")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": ["the-app"],
        "redirect_uri": ["https://shop.example.com/back?x=1&y"],
        "scope": ["profiles:read accounts:read"],
        "state": ["st&te"],
        "code_challenge_method": ["S256"],
        "code_challenge": [challenge_of("canary-verifier")],
    }
    assert "scope=profiles%3Aread%20accounts%3Aread" in url
    assert "canary" not in url


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("https://shop.example.com/back?code=canary&state=another", "its state is missing, or another one"),
        ("https://shop.example.com/back?code=canary", "its state is missing"),
        ("https://shop.example.com/back?code=canary&state=s&state=s", "its state is missing, or another one"),
        ("https://shop.example.com/back?state=s", "no authorization code"),
        ("https://shop.example.com/back?state=s&code=a&code=b", "no authorization code"),
        ("https://shop.example.com/back?error=access_denied&error_description=canary&state=s", "access was denied"),
        ("", "its state is missing"),
        ("http://[canary", "its state is missing"),
        ("?code=%ff&state=s", "its state is missing"),
    ],
)
def test_another_page_is_not_taken_for_the_answer(url: str, complaint: str) -> None:
    with pytest.raises(KlaviyoAnswerError, match=complaint) as caught:
        read_code(url, "s")
    assert "canary" not in str(caught.value)


def test_the_code_is_in_the_url() -> None:
    assert read_code(" https://shop.example.com/back?state=s&code=abc%2B\n", "s") == "abc+"
