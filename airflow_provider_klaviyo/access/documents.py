"""One JSON document a person: what was asked for, when it was read, and all that Klaviyo keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from airflow_provider_klaviyo.access.people import Person
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError

__all__ = ["HEAD_BYTES", "document", "export_id", "export_id_in"]

# The export id stands behind nothing longer than a request id, of which each character takes six bytes at most.
HEAD_BYTES: Final = 4_096
# With a line break before it, which no JSON text has: nothing that is listed or read can look like it.
EXPORT_ID: Final = re.compile(rb'\n  "export_id": "([0-9a-f]{32})",\n')


def export_id(person: Person, occasion: str, *, is_empty: bool = False) -> str:
    """Return what tells a document of this occasion, and of just these identifiers, from all others.

    :param occasion: a secret digest, the same for all tries of one task.
    :param is_empty: whether no profile is in it, which a later look may contradict.
    """
    identifiers = sorted((one.kind.value, one.value) for one in person.identifiers)
    said = repr((person.request_id, identifiers, *(["empty"] if is_empty else []))).encode("utf-8", "surrogatepass")
    return blake2b(said, key=occasion.encode()[:64], digest_size=16).hexdigest()


def export_id_in(head: bytes) -> str | None:
    """Return the export id of a document that begins like this; None where it has none."""
    found = EXPORT_ID.search(head)
    return found[1].decode() if found else None


def document(
    person: Person, profiles: Sequence[dict[str, Any]], *, account_id: str, export_id: str, read_at: datetime
) -> bytes:
    """Return a person's document, in UTF-8.

    :param profiles: as `export_profile` returns them; none for somebody whom Klaviyo does not know.
    :raises KlaviyoAnswerError: when Klaviyo gave something that is no JSON to others than Python.
    """
    asked = {} if person.request_id is None else {"request_id": person.request_id}
    content = {
        **asked,
        "read_at": read_at.isoformat(timespec="seconds"),
        "account_id": account_id,
        "export_id": export_id,
        "identifiers": [{one.kind.value: one.spellings[-1]} for one in person.identifiers],
        "profiles": list(profiles),
    }
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2)
    except (RecursionError, ValueError):
        text = None
    if text is None:
        raise KlaviyoAnswerError(
            f"what Klaviyo keeps of row {person.row:,} cannot be written as JSON: a number beyond all bounds, or "
            "values in values without end"
        )
    # Half a character, which JSON can name and UTF-8 cannot write, stays as JSON names it.
    return (text + "\n").encode("utf-8", "backslashreplace")
