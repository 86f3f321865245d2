"""What can be asked of Klaviyo through a hook: one method for each call, with its scopes and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from airflow_provider_klaviyo.api import access, calls, generic, rectification, suppression
from airflow_provider_klaviyo.api.access import Event, Record
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.api.pace import Limit
from airflow_provider_klaviyo.api.resources import Account, Profile
from airflow_provider_klaviyo.api.suppression import SuppressionJob
from airflow_provider_klaviyo.deletion.identifiers import (
    Identifier,
    IdentifierKindError,
    InvalidIdentifierError,
    Kind,
    kind_named,
    normalised,
)
from airflow_provider_klaviyo.tracebacks import hide_variables

__all__ = ["KlaviyoCalls"]

T = TypeVar("T")


@hide_variables
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
        return self.run(calls.get_profile(_normalised(Kind.ID, profile_id)))

    def get_whole_profile(self, profile_id: str) -> Record:
        """Return one profile with all its attributes, subscriptions and predictive analytics, as Klaviyo gives them.

        :raises KlaviyoNotFoundError: when there is none, or no longer.

        Scope ``profiles:read``; 75 calls a second and 750 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_profile
        """
        return self.run(access.get_whole_profile(_normalised(Kind.ID, profile_id)))

    def get_profile_lists(self, profile_id: str) -> tuple[Record, ...]:
        """Return the lists that a profile is in; a call for every ten.

        :raises KlaviyoNotFoundError: when there is no such profile, or no longer.

        Scopes ``lists:read`` and ``profiles:read``; 3 calls a second and 60 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_lists_for_profile
        """
        return self.run(access.get_profile_lists(_normalised(Kind.ID, profile_id)))

    def get_profile_segments(self, profile_id: str) -> tuple[Record, ...]:
        """Return the segments that a profile is in; a call for every ten.

        :raises KlaviyoNotFoundError: when there is no such profile, or no longer.

        Scopes ``profiles:read`` and ``segments:read``; 3 calls a second and 60 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_segments_for_profile
        """
        return self.run(access.get_profile_segments(_normalised(Kind.ID, profile_id)))

    def get_events(self, profile_id: str) -> tuple[Event, ...]:
        """Return what somebody did, the oldest first; a call for every 200. For a profile there is not, nothing.

        Scope ``events:read``; 350 calls a second and 3,500 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_events
        """
        return self.run(access.get_events(_normalised(Kind.ID, profile_id)))

    def find_profiles(self, kind: str, values: Iterable[object]) -> tuple[Profile, ...]:
        """Return the profiles whose identifier is any of these values, and no others, whatever Klaviyo answers.

        Values are normalised, looked up in every spelling, and compared, as those of a list are.

        :param kind: ``id``, ``email``, ``phone_number`` (``+15005550006``) or ``external_id``.
        :param values: any number; 100 are looked up at a time.
        :raises KlaviyoConfigurationError: when one of them cannot be an identifier of this kind; nobody is looked up.
        :raises KlaviyoInvalidRequestError: when Klaviyo will not look some of them up.

        Scope ``profiles:read``; 75 calls a second and 750 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_profiles
        """
        of_kind = _kind(kind)
        asked = [_identifier(of_kind, value) for value in _listed(values, "values")]
        spellings = dict.fromkeys(spelling for identifier in asked for spelling in identifier.spellings)
        found = self.run(calls.find_all_profiles(of_kind.value, tuple(spellings)))
        wanted = {identifier.value for identifier in asked}
        return tuple(one for one in found if normalised(of_kind, getattr(one, of_kind)) in wanted)

    def request_profile_deletion(
        self, *, profile_id: str | None = None, email: str | None = None, phone_number: str | None = None
    ) -> None:
        """Ask for the deletion of every profile that one identifier matches. It cannot be undone.

        Klaviyo deletes in its own time, usually within minutes, and says nothing when it is done: look again by id.

        :param profile_id: the safest, because it is one profile and no other.
        :raises KlaviyoConfigurationError: when the value cannot be an identifier; nothing is requested.
        :raises KlaviyoNotFoundError: when there is no such profile, or no longer.

        Scope ``data-privacy:write``; 3 calls a second and 60 a minute.
        Source: https://developers.klaviyo.com/en/reference/request_profile_deletion
        """
        given = {Kind.ID: profile_id, Kind.EMAIL: email, Kind.PHONE_NUMBER: phone_number}
        named = [(kind, value) for kind, value in given.items() if value is not None]
        if len(named) != 1 or named[0][1] == "":
            raise KlaviyoConfigurationError("give exactly one of profile_id, email and phone_number, not an empty one")
        ((kind, value),) = named
        self.run(calls.request_profile_deletion(kind.value, _normalised(kind, value)))

    def update_profile(
        self,
        profile_id: str,
        *,
        email: str | None = None,
        phone_number: str | None = None,
        external_id: str | None = None,
    ) -> Profile:
        """Give a profile other identifiers, and return what it is then. Nothing else of it is touched.

        :param email: the new address; None leaves the one that there is, and so for the others.
        :param phone_number: the new one, in E.164 form.
        :raises KlaviyoConfigurationError: when a value cannot be an identifier; nothing is changed.
        :raises KlaviyoDuplicateProfileError: when another profile holds one of them: ``duplicate_profile_id``. Nothing
            was changed.
        :raises KlaviyoNotFoundError: when there is no such profile, or no longer.

        Scope ``profiles:write``; 75 calls a second and 750 a minute.
        Source: https://developers.klaviyo.com/en/reference/update_profile
        """
        given = {Kind.EMAIL: email, Kind.PHONE_NUMBER: phone_number, Kind.EXTERNAL_ID: external_id}
        identifiers = {
            kind.value: _identifier(kind, value).to_write for kind, value in given.items() if value is not None
        }
        if not identifiers:
            raise KlaviyoConfigurationError("give what is to change: email, phone_number or external_id")
        return self.run(rectification.update_profile(_normalised(Kind.ID, profile_id), identifiers))

    def suppress_profiles(self, emails: Iterable[str]) -> SuppressionJob:
        """Have nobody at these addresses sent marketing e-mail any more; return the job that does it in its own time.

        Klaviyo makes a profile of an address that no profile has. So give it addresses that you have just looked up,
        and nobody whose deletion was requested: they would come back. `ProfileSuppressionOperator` sees to that.

        :param emails: 1 to 100.

        Scopes ``profiles:write`` and ``subscriptions:write``; 75 calls a second and 750 a minute.
        Source: https://developers.klaviyo.com/en/reference/bulk_suppress_profiles
        """
        listed = _listed(emails, "emails")
        if not 1 <= len(listed) <= suppression.EMAILS_A_JOB:
            raise KlaviyoConfigurationError(f"emails must be a list of 1 to {suppression.EMAILS_A_JOB} addresses")
        return self.run(suppression.suppress_profiles([_normalised(Kind.EMAIL, email) for email in listed]))

    def get_suppression_job(self, job_id: str) -> SuppressionJob:
        """Return how far a job is that suppresses profiles.

        :raises KlaviyoNotFoundError: when there is no such job.

        Scope ``subscriptions:read``; 75 calls a second and 750 a minute.
        Source: https://developers.klaviyo.com/en/reference/get_bulk_suppress_profiles_job
        """
        return self.run(suppression.get_suppression_job(job_id))

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Mapping[str, Any] | Sequence[Any] | None = None,
        limit: Limit = generic.SLOWEST,
        revision: str | None = None,
        idempotent: bool = False,
    ) -> dict[str, Any] | None:
        """Make a call that no other method makes, and return the JSON that is answered; None for an empty answer.

        It is paced, tried again, and kept out of logs and errors as the others are. An endpoint that this package uses
        keeps the pace that it has here; any other has one of its own, whatever ids are in its path.

        :param method: ``GET``, ``HEAD``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
        :param path: such as ``/api/lists/Y6nRLr``. It is logged, so it holds letters, digits, dots and dashes only;
            what comes after a ``?`` belongs into ``params``.
        :param params: of the query, such as ``{"filter": …}``, not yet encoded. Never logged.
        :param json: the body. Never logged.
        :param limit: of an endpoint that this package does not use, as its reference says: ``Limit(burst=1,
            steady=15)`` calls a second and a minute is the slowest of Klaviyo's (XS), and the default; S is 3 and 60, M
            10 and 150, L 75 and 700, XL 350 and 3,500.
        :param revision: of Klaviyo's API, for this call; None for the connection's.
        :param idempotent: True says that sending a ``POST`` or ``PATCH`` twice does no more than sending it once. Then
            it is tried again after a lost answer or a 5xx too, as all other methods are; otherwise after a 429 only.
        :raises KlaviyoConfigurationError: for what cannot be sent, before anything is.
        :raises KlaviyoError: ``in_doubt`` when it may have been carried out although it failed.

        Source: https://developers.klaviyo.com/en/reference/api_overview
        """
        request = generic.generic_request(method, path, params=params, body=json, limit=limit, revision=revision)
        return self.run(generic.call(request, is_repeatable=idempotent or method in generic.SAFE_TO_REPEAT))


def _kind(name: object) -> Kind:
    try:
        return kind_named(name)
    except IdentifierKindError as error:
        reason = str(error)
    raise KlaviyoConfigurationError(f"kind: {reason}")


def _identifier(kind: Kind, value: object) -> Identifier:
    try:
        return Identifier.of(kind, value)
    except InvalidIdentifierError as error:
        reason = str(error)
    raise KlaviyoConfigurationError(f"{kind}: {reason}")


def _normalised(kind: Kind, value: object) -> str:
    return _identifier(kind, value).to_write


def _listed(values: object, name: str) -> list[object]:
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping) or not isinstance(values, Iterable):
        raise KlaviyoConfigurationError(f"{name} must be a list of values, not {type(values).__name__}")
    return list(values)
