"""Identifiers from a list, as a DAG's author wrote it or another task returned it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_klaviyo.concealed import Concealed
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow_provider_klaviyo.sources.columns import Columns, Row

__all__ = ["check_list", "list_entries", "listed"]


def check_list(profiles: Any, row: type[Row]) -> None:
    """Refuse a mapping in a list that names no identifier, or several; its values may be templates yet.

    :param row: what each item becomes, as for `Columns`.
    :raises SourceError: in words that say what to write instead.
    """
    for _ in list_entries(profiles, row):
        pass


@hide_variables
def list_entries(profiles: Any, row: type[Row]) -> Generator[Row]:
    """Yield what a list holds: a string as it is; a mapping by the kind that is its key.

    :param row: what each item becomes, as for `Columns`.
    :raises SourceError: for something that is no list, or a mapping without exactly one kind of identifier.
    """
    columns_of = lru_cache(lambda keys: _columns_of(keys, row))
    of_any_kind: Callable[..., Row] = row
    for item in listed(profiles):
        if isinstance(item, Mapping):
            yield columns_of(tuple(item)).entry(tuple(item.values()))
        else:
            yield of_any_kind(None, item)


def listed(profiles: Any) -> Generator[object]:
    """Yield what a list holds: strings and mappings, one or many, also from several tasks at once.

    :raises SourceError: for something that is no list.
    """
    if isinstance(profiles, Concealed):
        profiles = profiles.value
    if isinstance(profiles, str) and re.fullmatch(r"\s*(\[.*\]|\{.*\}|\(.*\))\s*", profiles, re.DOTALL):
        raise SourceError(
            "profiles is the text of a list, not a list: a template gives text. Hand over another task's output itself "
            "(profiles=task.output), or set render_template_as_native_obj=True on the DAG"
        )
    if isinstance(profiles, str | Mapping):
        yield profiles
    elif isinstance(profiles, Iterable) and not isinstance(profiles, bytes | bytearray | memoryview):
        for item in profiles:
            if isinstance(item, list | tuple):
                yield from listed(item)
            else:
                yield item
    else:
        raise SourceError(f"profiles must be a list of identifiers, not {type(profiles).__name__}")


def _columns_of(keys: tuple[object, ...], row: type[Row]) -> Columns[Row]:
    """Find the keys of a mapping, which has no others: one that is not understood may have been meant to matter."""
    from airflow_provider_klaviyo.sources.columns import Columns, details_of

    columns = Columns.of(keys, "a mapping in profiles", row)
    if len(keys) > sum(name is not None for name in columns.names):
        raise SourceError(
            f"a mapping in profiles may have {', '.join(details_of(row))} next to its identifier, and no other keys"
        )
    return columns
