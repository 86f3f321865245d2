"""Change what identifies a profile: its e-mail address, its phone number, its external id; and nothing else of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from airflow_provider_klaviyo.api.conversation import PATIENCE_SECONDS, Conversation
from airflow_provider_klaviyo.api.diagnosis import ask
from airflow_provider_klaviyo.api.endpoints import UPDATE_PROFILE
from airflow_provider_klaviyo.api.resources import PROFILE_FIELDS, Profile, profile_path, read_profile
from airflow_provider_klaviyo.api.wire import Request, query_string

__all__ = ["update_profile", "update_request"]

CHANGEABLE: Final = frozenset({"email", "phone_number", "external_id"})


def update_profile(
    profile_id: str,
    identifiers: Mapping[str, str],
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    before_send: Callable[[], Conversation[None]] | None = None,
) -> Conversation[Profile]:
    """Give a profile other identifiers, and return what it is then. What is not named stays as it is.

    :param identifiers: the new ``email``, ``phone_number`` and ``external_id``, any of them.
    :param before_send: runs before each send and each repeated send; a `NotPermittedError` from it stops the send.
    :raises KlaviyoDuplicateProfileError: when another profile holds one of them; nothing was changed.
    :raises KlaviyoNotFoundError: there is no such profile, or no longer.

    Scope ``profiles:write``; 75 a second and 750 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/update_profile
    """
    request = update_request(profile_id, identifiers)
    read = partial(read_profile, endpoint=UPDATE_PROFILE, profile_id=profile_id)
    return (yield from ask(request, read, patience_seconds=patience_seconds, before_send=before_send))


def update_request(profile_id: str, identifiers: Mapping[str, str]) -> Request:
    """Ask for a change of identifiers.

    Source: https://developers.klaviyo.com/en/reference/update_profile
    """
    path = profile_path(UPDATE_PROFILE, profile_id)
    # An empty one, or null, would take an identifier away.
    if not identifiers or not CHANGEABLE.issuperset(identifiers) or not all(identifiers.values()):
        raise ValueError(f"an update has one or more of {', '.join(sorted(CHANGEABLE))}, and none of them is empty")
    data = {"type": "profile", "id": profile_id, "attributes": dict(identifiers)}
    return Request(
        UPDATE_PROFILE,
        path,
        query=query_string({"fields[profile]": PROFILE_FIELDS}),
        body=json.dumps({"data": data}).encode(),
    )
