"""Tell whether a profile itself holds a listed identifier, from keyed fingerprints alone."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError, Kind

__all__ = ["fingerprints_of"]


def fingerprints_of(profile: Profile, keys: FingerprintKeys) -> frozenset[str]:
    """Return the fingerprints of every identifier that a profile holds, under every key.

    :param profile: as it was just looked up by its id.
    """
    return frozenset(fingerprint for one in _identifiers_of(profile) for fingerprint in keys.all_of(one))


def _identifiers_of(profile: Profile) -> Iterator[Identifier]:
    for kind in Kind:
        try:
            yield Identifier.of(kind, getattr(profile, kind))
        except InvalidIdentifierError:
            continue  # The profile has none of this kind, or one that no list can name.
