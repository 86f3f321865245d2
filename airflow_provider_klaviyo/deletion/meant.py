"""Look at a profile directly before something is done to it, and tell which listed identifiers it itself holds."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_klaviyo.api.calls import get_profile
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoNotFoundError
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError, Kind, spelling_of

__all__ = ["fingerprints_of", "holds_spelling", "identifiers_of", "profile_now"]


def profile_now(profile_id: str) -> Conversation[Profile | None]:
    """Look one profile up by its id, not by a search, whose index may be late; None if Klaviyo says there is none.

    :raises KlaviyoNotFoundError: for a 404 without a code, which is not Klaviyo's: some gateway's, or a wrong host's.
    """
    try:
        profile = yield from get_profile(profile_id)
    except KlaviyoNotFoundError as error:
        if error.code is None:
            raise
        return None
    if profile.id != profile_id:
        raise KlaviyoAnswerError(f"the look-up of profile {profile_id} was answered with another profile")
    return profile


def fingerprints_of(profile: Profile, keys: FingerprintKeys) -> frozenset[str]:
    """Return the fingerprints of every identifier that a profile holds, under every key.

    :param profile: as it was just looked up by its id.
    """
    return frozenset(fingerprint for one in identifiers_of(profile) for fingerprint in keys.all_of(one))


def identifiers_of(profile: Profile) -> Iterator[Identifier]:
    """Yield every identifier that a profile holds, normalised as a list is."""
    for kind in Kind:
        try:
            yield Identifier.of(kind, getattr(profile, kind))
        except InvalidIdentifierError:
            continue  # The profile has none of this kind, or one that no list can name.


def holds_spelling(profile: Profile, kind: Kind, spelling: str) -> bool:
    """Tell whether a profile holds an identifier in just this spelling; capitals do not matter in addresses."""
    value: str | None = getattr(profile, kind)
    return value is not None and spelling_of(kind, value) == spelling_of(kind, spelling)
