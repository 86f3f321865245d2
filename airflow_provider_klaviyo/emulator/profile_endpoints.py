"""Profiles: listed, shown, changed, deleted."""

from __future__ import annotations

from airflow_provider_klaviyo.emulator.answers import (
    Answer,
    authentication_failed,
    document,
    duplicate_profile,
    not_found,
)
from airflow_provider_klaviyo.emulator.deletion_request import DeletionRequest
from airflow_provider_klaviyo.emulator.endpoint import Asking
from airflow_provider_klaviyo.emulator.filters import Filter
from airflow_provider_klaviyo.emulator.paging import PageRequest
from airflow_provider_klaviyo.emulator.profile_documents import PARAMETERS, View
from airflow_provider_klaviyo.emulator.profile_update import parse_update
from airflow_provider_klaviyo.emulator.profiles import Profile

_ACCEPTED = 202


def profile_deletion(asking: Asking) -> Answer:
    """Accept the deletion of every profile that holds the identifier."""
    request = DeletionRequest.parse(asking.asked)
    pending = asking.state.deletions.pending
    found = asking.tenant.profiles.matching(Filter(request.field, (request.value,)))
    if asking.state.settings.pending_deletion_status != _ACCEPTED:
        found = [profile for profile in found if profile.id not in pending]
    if not found:
        raise not_found(f"A profile with {request.field} {request.value} does not exist.")
    # The incident of 14-16 April 2026: only profiles that exist were refused.
    if asking.fault("deletion_refused") is not None:
        raise authentication_failed()
    asking.state.request_deletion(asking.tenant, found, asking.now)
    return Answer(_ACCEPTED)


def get_profiles(asking: Asking) -> Answer:
    """List profiles, filtered and in pages."""
    parameters = asking.asked.parameters({"filter", "page[size]", "page[cursor]", *PARAMETERS})
    view = View.parse(parameters)
    wanted = asking.filter(parameters.get("filter"))
    page = PageRequest.parse(parameters, default=20, most=100)
    profiles, following = asking.tenant.profiles.page(wanted, start=page.start, size=page.size)
    if wanted is not None and (late := asking.fault("late_index")) is not None:
        indexed_until = asking.now - float(late["seconds"])
        profiles = [profile for profile in profiles if profile.updated <= indexed_until]
    if asking.fault("unasked_profile") is not None:
        profiles = [*profiles, _stranger(asking, wanted)]
    base_url = asking.asked.base_url
    return asking.listing(page, [view.document(profile, base_url) for profile in profiles], following)


def get_profile(asking: Asking) -> Answer:
    """Return one profile."""
    view = View.parse(asking.asked.parameters(PARAMETERS))
    data = view.document(asking.profile(), asking.asked.base_url)
    return document({"data": data, "links": data["links"]})


def update_profile(asking: Asking) -> Answer:
    """Change a profile, unless another one holds its new identifier."""
    view = View.parse(asking.asked.parameters(PARAMETERS))
    changes = parse_update(asking.asked)
    profile_id = asking.profile().id
    duplicate = asking.tenant.profiles.other_with(changes, profile_id)
    if duplicate is not None:
        raise duplicate_profile(duplicate.id)
    profile = asking.state.update_profile(asking.tenant, profile_id, changes, asking.now)
    data = view.document(profile, asking.asked.base_url)
    return document({"data": data, "links": data["links"]})


def _stranger(asking: Asking, wanted: Filter | None) -> Profile:
    """Return a profile that nobody asked for: a real one where there is one, to make trust expensive."""
    store = asking.tenant.profiles
    asked_for = {profile.id for profile in store.matching(wanted)} if wanted else set()
    others = (profile for profile in store if profile.id not in asked_for)
    return next(others, Profile("0" * 26, asking.now, asking.now, position=0, email="stranger@example.com"))
