"""What a person's document is called: after the request, if that can be a file's name; never after the person."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Final

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.deletion.request_ids import RequestIdError, read_request_id

__all__ = ["Names", "request_id_of"]

# What any file system takes as a name: no slash, no leading dot, no @. What looks like a fingerprint is none of ours.
PLAIN: Final = re.compile(r"(?!\.)(?![0-9A-Fa-f]{64}\Z)[A-Za-z0-9_.-]{1,100}")


class Names:
    """Names documents: by the request's id where that is plain, else by a fingerprint.

    The same request has the same name in every list, whoever else is listed.

    :param read_keys: returns the fingerprint keys; asked at most once, and only when a fingerprint is needed.
    """

    def __init__(self, read_keys: Callable[[], FingerprintKeys]) -> None:
        self._read_keys = read_keys

    @cached_property
    def _keys(self) -> FingerprintKeys:
        return self._read_keys()

    def of(self, request_id: str | None, identifier: Identifier) -> tuple[str, ...]:
        """Return the name of a document, and after it those that it had under fingerprint keys of former days.

        :param identifier: of the person, who is named by it if there is no request id.
        """
        if request_id is None:
            return tuple(f"{one}.json" for one in self._keys.all_of(identifier))
        if PLAIN.fullmatch(request_id):
            return (f"{request_id}.json",)
        return tuple(f"{one}.json" for one in self._keys.of_request(request_id))


def request_id_of(entry: Entry) -> str | None:
    """Return the id of a row's request; None when it has none that can be one. That is nobody else's request then."""
    try:
        return read_request_id(entry.request_id)
    except RequestIdError:
        return None
