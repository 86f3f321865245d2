"""Answers of a Klaviyo that tests play themselves, for a drain."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import httpx

from airflow_provider_klaviyo.api.endpoints import GET_ACCOUNT, GET_PROFILES

__all__ = ["GONE", "LOST", "answer_look", "id_in", "in_turn", "refusing"]

GONE: Final = httpx.Response(404, json={"errors": [{"code": "not_found"}]})
LOST: Final = httpx.ReadError("lost")


def answer_look(request: httpx.Request, **attributes: str) -> httpx.Response | None:
    """Answer a look-up of a profile by its id with that profile; return None for any other request."""
    if request.method != "GET" or not request.url.path.startswith(f"{GET_PROFILES.path}/"):
        return None
    found = {"type": "profile", "id": request.url.path.rpartition("/")[2], "attributes": attributes}
    return httpx.Response(200, json={"data": found})


def id_in(request: httpx.Request) -> str:
    """Return the profile id that a request for a deletion names."""
    return str(json.loads(request.content)["data"]["attributes"]["profile"]["data"]["id"])


def refusing(*refused: str, status: int = 400) -> Callable[[httpx.Request], httpx.Response]:
    """Accept every deletion but those of these profiles."""

    def answer(request: httpx.Request) -> httpx.Response:
        if looked_up := answer_look(request):
            return looked_up
        return httpx.Response(status, json={"errors": [{}]}) if id_in(request) in refused else httpx.Response(202)

    return answer


def in_turn(*answers: httpx.Response | Exception) -> Callable[[httpx.Request], httpx.Response]:
    """Answer each deletion with the next of these, every look, and whose key it is; one too many fails the test."""
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == GET_ACCOUNT.path:
            return httpx.Response(200, json={"data": [{"type": "account", "id": "AbC123"}]})
        if looked_up := answer_look(request):
            return looked_up
        one = next(left)
        if isinstance(one, Exception):
            raise one
        return one

    return answer
