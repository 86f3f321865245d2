"""The lists and segments that a profile is in: listed."""

from __future__ import annotations

from airflow_provider_klaviyo.emulator import documents
from airflow_provider_klaviyo.emulator.answers import Answer
from airflow_provider_klaviyo.emulator.endpoint import Asking
from airflow_provider_klaviyo.emulator.groups import Kind
from airflow_provider_klaviyo.emulator.paging import PageRequest

# The reference knows no page[size] here, but pages of ten it are.
_MOST = 10


def get_profile_lists(asking: Asking) -> Answer:
    """List the lists that a profile is in."""
    return _groups(asking, "list")


def get_profile_segments(asking: Asking) -> Answer:
    """List the segments that a profile is in."""
    return _groups(asking, "segment")


def _groups(asking: Asking, kind: Kind) -> Answer:
    parameters = asking.asked.parameters({"page[size]", "page[cursor]", f"fields[{kind}]"})
    fields = documents.sparse_fields(parameters, kind, documents.GROUP_FIELDS[kind])
    page = PageRequest.parse(parameters, default=_MOST, most=_MOST)
    profile = asking.profile()
    groups, following = asking.tenant.groups.page(kind, profile.id, start=page.start, size=page.size)
    base_url = asking.asked.base_url
    return asking.listing(page, [documents.group(group, base_url, fields) for group in groups], following)
