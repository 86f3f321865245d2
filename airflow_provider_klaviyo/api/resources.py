"""The resources that are asked for: profiles, accounts and deletion jobs; each request written, each answer read.

Source: https://developers.klaviyo.com/en/reference/api_overview
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from airflow_provider_klaviyo.api.endpoints import GET_ACCOUNT, GET_PROFILE, GET_PROFILES, PROFILE_DELETION, Endpoint
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError
from airflow_provider_klaviyo.api.wire import (
    PAGE_SIZE,
    PLAIN_ID,
    Answer,
    Page,
    Request,
    at,
    check_type,
    filter_any,
    is_empty,
    is_text,
    next_cursor,
    query_string,
    read_document,
)

__all__ = [
    "NOBODY",
    "PROFILE_FIELDS",
    "PROFILE_ID",
    "Account",
    "Profile",
    "account_request",
    "checked_profile_id",
    "deletion_request",
    "profile_path",
    "profile_request",
    "profiles_request",
    "read_acceptance",
    "read_account",
    "read_profile",
    "read_profiles",
]

# An id that no profile has, to see whether a key may look profiles up at all.
NOBODY: Final = "0" * 26
PROFILE_ID: Final = PLAIN_ID
PROFILE_FIELDS: Final = "email,phone_number,external_id,created"


@dataclass(frozen=True, slots=True)
class Profile:
    """Klaviyo's record of a person, as far as it is needed here. Its repr shows the id only."""

    id: str
    email: str | None = field(default=None, repr=False)
    phone_number: str | None = field(default=None, repr=False)
    external_id: str | None = field(default=None, repr=False)
    created: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Klaviyo's tenant: the owner of every profile and of every rate limit."""

    id: str
    organization_name: str | None = None
    is_test_account: bool = False

    def __str__(self) -> str:
        kind = "test account" if self.is_test_account else "account"
        return f"{kind} {self.id} ({self.organization_name or 'without a name'})"


def deletion_request(kind: str, value: str) -> Request:
    """Ask for the deletion of every profile that this identifier matches.

    :param kind: ``id``, ``email`` or ``phone_number``; Klaviyo takes no ``external_id`` here.

    Source: https://developers.klaviyo.com/en/reference/request_profile_deletion
    """
    profile: dict[str, Any] = {"type": "profile", "attributes": {}}
    if kind == "id":
        profile["id"] = value
    elif kind in ("email", "phone_number"):
        profile["attributes"][kind] = value
    else:
        raise ValueError(f"Klaviyo deletes by id, email or phone_number, not by {kind!r}: look the profile up")
    job = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}
    return Request(PROFILE_DELETION, PROFILE_DELETION.path, body=json.dumps({"data": job}).encode())


def profiles_request(kind: str, values: Sequence[str], cursor: str | None = None) -> Request:
    """Ask for the profiles whose identifier of this kind is any of these values.

    :param kind: ``id``, ``email``, ``phone_number`` or ``external_id``.
    :param cursor: of the page wanted, from the `Page` before it.

    Source: https://developers.klaviyo.com/en/reference/get_profiles
    """
    query = {
        "filter": filter_any(kind, values),
        "fields[profile]": PROFILE_FIELDS,
        "page[size]": str(PAGE_SIZE),
    }
    if cursor is not None:
        query["page[cursor]"] = cursor
    return Request(GET_PROFILES, GET_PROFILES.path, query=query_string(query), is_divisible=len(values) > 1)


def profile_request(profile_id: str) -> Request:
    """Ask for one profile.

    Source: https://developers.klaviyo.com/en/reference/get_profile
    """
    query = query_string({"fields[profile]": PROFILE_FIELDS})
    return Request(GET_PROFILE, profile_path(GET_PROFILE, profile_id), query=query)


def profile_path(endpoint: Endpoint, profile_id: str) -> str:
    """Return the path of an endpoint about one profile."""
    return endpoint.path.replace("{id}", checked_profile_id(profile_id))


def checked_profile_id(profile_id: str) -> str:
    """Return an id, and refuse anything else: paths are logged, and an address must not be."""
    if not PROFILE_ID.fullmatch(profile_id):
        raise ValueError("not a Klaviyo profile id: up to 64 letters and digits")
    return profile_id


def account_request() -> Request:
    """Ask whose key this is.

    Source: https://developers.klaviyo.com/en/reference/get_accounts
    """
    return Request(GET_ACCOUNT, GET_ACCOUNT.path)


def read_profiles(answer: Answer) -> Page[Profile]:
    """Read a page of profiles."""
    document = read_document(answer, GET_PROFILES)
    data = document.get("data")
    if not isinstance(data, list):
        raise KlaviyoAnswerError("Klaviyo's list of profiles has no list in it", status=answer.status)
    return Page(tuple(_profile(item) for item in data), next_cursor(document))


def read_profile(answer: Answer, endpoint: Endpoint = GET_PROFILE, profile_id: str | None = None) -> Profile:
    """Read one profile, as this endpoint answers it.

    :param profile_id: that was asked for; None for any.
    """
    profile = _profile(read_document(answer, endpoint).get("data"))
    if profile_id is not None and profile.id != profile_id:
        raise KlaviyoAnswerError(f"{endpoint} was asked about profile {profile_id} and answered with another profile")
    return profile


def read_acceptance(answer: Answer) -> None:
    """Read that a deletion was accepted: a 202 without a body. A document would do, but nothing else that has one.

    :raises KlaviyoAnswerError: for anything else, as the deletion may have been accepted or not.
    """
    if answer.status != HTTPStatus.ACCEPTED:
        raise KlaviyoAnswerError(
            f"the deletion was answered {answer.status}, not 202 as Klaviyo does: is the connection's host Klaviyo?"
        )
    if not is_empty(answer) and "data" not in read_document(answer, PROFILE_DELETION):
        raise KlaviyoAnswerError("the deletion was answered 202 with something that is no document of Klaviyo's")


def read_account(answer: Answer) -> Account:
    """Read whose key it is: exactly one account."""
    data = read_document(answer, GET_ACCOUNT).get("data")
    account = data[0] if isinstance(data, list) and len(data) == 1 else None
    check_type(account, "account")
    if not is_text(at(account, "id")):
        raise KlaviyoAnswerError("Klaviyo did not name exactly one account for this key", status=answer.status)
    name = at(account, "attributes", "contact_information", "organization_name")
    return Account(
        id=at(account, "id"),
        organization_name=name if is_text(name) else None,
        is_test_account=at(account, "attributes", "test_account") is True,
    )


def _profile(data: object) -> Profile:
    profile_id = at(data, "id")
    attributes = at(data, "attributes")
    check_type(data, "profile")
    if not isinstance(profile_id, str) or not PROFILE_ID.fullmatch(profile_id) or not isinstance(attributes, dict):
        raise KlaviyoAnswerError("Klaviyo's answer has a profile without a proper id or without attributes")
    texts = {name: value for name in PROFILE_FIELDS.split(",") if is_text(value := attributes.get(name))}
    return Profile(id=profile_id, **texts)
