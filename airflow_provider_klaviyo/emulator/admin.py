"""`/_emulator/`: the controls over HTTP, for other processes. No key, no limits, JSON both ways."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_klaviyo.emulator.controls import Controls
from airflow_provider_klaviyo.emulator.installations import Installation

_PREFIX = "/_emulator"
_BAD_REQUEST = 400

Act = Callable[[Controls, dict[str, Any], dict[str, str]], object]


def _list_profiles(controls: Controls, _body: dict[str, Any], query: dict[str, str]) -> object:
    return {
        "profiles": [
            {
                "profile_id": profile.id,
                "email": profile.email,
                "phone_number": profile.phone_number,
                "external_id": profile.external_id,
                "first_name": profile.first_name,
                "last_name": profile.last_name,
                "properties": dict(profile.properties),
                "suppressed": profile.suppressed_at is not None,
                "created": profile.created,
            }
            for profile in controls.profiles(query.get("account"))
        ]
    }


def _add_profiles(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    return {"profile_ids": controls.add_profiles(body["profiles"], body.get("account"))}


def _update_profile(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    controls.update_profile(**body)
    return {}


def _merge_profiles(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    controls.merge_profiles(**body)
    return {}


def _remove_profile(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    controls.remove_profile(**body)
    return {}


def _list_accounts(controls: Controls, _body: dict[str, Any], _query: dict[str, str]) -> object:
    return {
        "accounts": [
            {"id": account.id, "organization_name": account.organization_name, "key": account.key}
            for account in controls.accounts
        ]
    }


def _add_account(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    account = controls.add_account(**body)
    return {"id": account.id, "organization_name": account.organization_name, "key": account.key}


def _add_key(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    return {"key": controls.add_key(**body)}


def _list_installations(controls: Controls, _body: dict[str, Any], _query: dict[str, str]) -> object:
    return {"installations": [asdict(installation) for installation in controls.installations]}


def _add_installation(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    return asdict(controls.add_installation(**body))


def _authorize(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    return {"code": controls.authorize(**body)}


def _expire_access_tokens(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    controls.expire_access_tokens(_installation(controls, **body))
    return {}


def _revoke_installation(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    controls.revoke_installation(_installation(controls, **body))
    return {}


def _installation(controls: Controls, client_id: str, account: str | None = None) -> Installation:
    for installation in controls.installations:
        if installation.client_id == client_id and account in {None, installation.account_id}:
            return installation
    raise ValueError("There is no such installation.")


def _report(controls: Controls, _body: dict[str, Any], _query: dict[str, str]) -> object:
    return controls.report()


def _deletions(controls: Controls, _body: dict[str, Any], _query: dict[str, str]) -> object:
    return {
        "requests": controls.deletion_requests,
        "pending": sorted(controls.pending),
        "deleted": sorted(controls.deleted),
    }


def _list_faults(controls: Controls, _body: dict[str, Any], _query: dict[str, str]) -> object:
    return {"faults": controls.faults}


def _add_fault(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    controls.fault(**body)
    return {"faults": controls.faults}


def _clear_faults(controls: Controls, _body: dict[str, Any], query: dict[str, str]) -> object:
    controls.clear_faults(query.get("name"))
    return {"faults": controls.faults}


def _reset(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    controls.reset_counts()
    if body.get("faults"):
        controls.clear_faults()
    if body.get("people"):
        controls.forget_people()
    return {}


def _add_list(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    return {"list_id": controls.add_list(**body)}


def _add_segment(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    return {"segment_id": controls.add_segment(**body)}


def _add_to_list(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    controls.add_to_list(**body)
    return {}


def _add_to_segment(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    controls.add_to_segment(**body)
    return {}


def _add_event(controls: Controls, body: dict[str, Any], _query: dict[str, str]) -> object:
    return {"event_id": controls.add_event(**body)}


def _suppressed(controls: Controls, _body: dict[str, Any], _query: dict[str, str]) -> object:
    return {"suppressed": sorted(controls.suppressed)}


_ACTS: tuple[tuple[str, str, Act], ...] = (
    ("GET", "profiles", _list_profiles),
    ("POST", "profiles", _add_profiles),
    ("POST", "profiles/update", _update_profile),
    ("POST", "profiles/merge", _merge_profiles),
    ("POST", "profiles/remove", _remove_profile),
    ("GET", "accounts", _list_accounts),
    ("POST", "accounts", _add_account),
    ("POST", "keys", _add_key),
    ("POST", "lists", _add_list),
    ("POST", "lists/members", _add_to_list),
    ("POST", "segments", _add_segment),
    ("POST", "segments/members", _add_to_segment),
    ("POST", "events", _add_event),
    ("GET", "suppressed", _suppressed),
    ("GET", "installations", _list_installations),
    ("POST", "installations", _add_installation),
    ("POST", "installations/codes", _authorize),
    ("POST", "installations/expire", _expire_access_tokens),
    ("POST", "installations/revoke", _revoke_installation),
    ("GET", "report", _report),
    ("GET", "deletions", _deletions),
    ("GET", "faults", _list_faults),
    ("POST", "faults", _add_fault),
    ("DELETE", "faults", _clear_faults),
    ("POST", "reset", _reset),
)


def admin_routes(controls: Controls) -> list[Route]:
    """Return the routes of the controls."""
    return [Route(f"{_PREFIX}/{name}", _handler(controls, act), methods=[method]) for method, name, act in _ACTS]


def _handler(controls: Controls, act: Act) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            body = json.loads(await request.body() or b"{}")
            return JSONResponse(act(controls, body, dict(request.query_params)))
        except (KeyError, TypeError, ValueError) as exc:
            return JSONResponse({"error": str(exc)}, status_code=_BAD_REQUEST)

    return handle
