"""What can be asked of Klaviyo through a hook: one method for each call, with its scopes and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from airflow_provider_klaviyo.api import access, calls
from airflow_provider_klaviyo.api.access import Event, Record
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.api.resources import Account, Profile

__all__ = ["KlaviyoCalls"]

T = TypeVar("T")


class KlaviyoCalls:
    """The calls of a hook, each paced and tried again as the operators' are; they block."""

    def get_conn(self) -> KlaviyoClient:
        """Return the client that carries the calls out."""
        raise NotImplementedError

    def run(self, conversation: Conversation[T]) -> T:
        """Carry out a conversation of `airflow_provider_klaviyo.api`, and return its result."""
        return self.get_conn().run(conversation)

    def get_account(self) -> Account:
        """Return the account that the key belongs to.

        Scope ``accounts:read``; 1 call a second and 15 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_accounts
        """
        return self.run(calls.get_account())

    def get_profile(self, profile_id: str) -> Profile:
        """Return one profile.

        :raises KlaviyoNotFoundError: when there is none, or no longer.

        Scope ``profiles:read``; 75 calls a second and 750 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_profile
        """
        return self.run(calls.get_profile(profile_id))

    def get_whole_profile(self, profile_id: str) -> Record:
        """Return one profile with all its attributes, subscriptions and predictive analytics, as Klaviyo gives them.

        :raises KlaviyoNotFoundError: when there is none, or no longer.

        Scope ``profiles:read``; 75 calls a second and 750 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_profile
        """
        return self.run(access.get_whole_profile(profile_id))

    def get_profile_lists(self, profile_id: str) -> tuple[Record, ...]:
        """Return the lists that a profile is in; a call for every ten.

        :raises KlaviyoNotFoundError: when there is no such profile, or no longer.

        Scopes ``lists:read`` and ``profiles:read``; 3 calls a second and 60 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_lists_for_profile
        """
        return self.run(access.get_profile_lists(profile_id))

    def get_profile_segments(self, profile_id: str) -> tuple[Record, ...]:
        """Return the segments that a profile is in; a call for every ten.

        :raises KlaviyoNotFoundError: when there is no such profile, or no longer.

        Scopes ``profiles:read`` and ``segments:read``; 3 calls a second and 60 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_segments_for_profile
        """
        return self.run(access.get_profile_segments(profile_id))

    def get_events(self, profile_id: str) -> tuple[Event, ...]:
        """Return what somebody did, the oldest first; a call for every 200. For a profile there is not, nothing.

        Scope ``events:read``; 350 calls a second and 3,500 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_events
        """
        return self.run(access.get_events(profile_id))

    def find_profiles(self, kind: str, values: Sequence[str]) -> tuple[Profile, ...]:
        """Return the profiles whose identifier is any of these values, and no others, whatever Klaviyo answers.

        :param kind: ``id``, ``email`` (in lower case, as Klaviyo keeps it), ``phone_number`` (``+15005550006``) or
            ``external_id``.
        :param values: any number; 100 are looked up at a time.
        :raises KlaviyoInvalidRequestError: when Klaviyo will not look some of them up.

        Scope ``profiles:read``; 75 calls a second and 750 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_profiles
        """
        if isinstance(values, str):
            raise KlaviyoConfigurationError("values must be a list of values, not one text")
        asked_for = frozenset(values)
        found = self.run(calls.find_all_profiles(kind, values))
        return tuple(profile for profile in found if getattr(profile, kind) in asked_for)

    def request_profile_deletion(
        self, *, profile_id: str | None = None, email: str | None = None, phone_number: str | None = None
    ) -> None:
        """Ask for the deletion of every profile that one identifier matches. It cannot be undone.

        Klaviyo deletes in its own time, usually within minutes, and says nothing when it is done: look again by id.

        :param profile_id: the safest, because it is one profile and no other.
        :raises KlaviyoNotFoundError: when there is no such profile, or no longer.

        Scope ``data-privacy:write``; 3 calls a second and 60 a minute.
        Source: https://developers.klaviyo.com/en/reference/request_profile_deletion
        """
        given = {"id": profile_id, "email": email, "phone_number": phone_number}
        named = [(kind, value) for kind, value in given.items() if value is not None]
        if len(named) != 1 or not named[0][1].strip():
            raise KlaviyoConfigurationError("give exactly one of profile_id, email and phone_number, not an empty one")
        self.run(calls.request_profile_deletion(*named[0]))
