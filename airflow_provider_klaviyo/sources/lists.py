"""Identifiers from a list, as a DAG's author wrote it or another task returned it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence, Set
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_klaviyo.concealed import Concealed
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow_provider_klaviyo.sources.columns import Columns, Row

__all__ = ["check_list", "list_entries", "listed"]

BYTES: Final = (bytes, bytearray, memoryview)
TEXT_OF_A_LIST: Final = re.compile(r"\s*(\[.*\]|\{.*\}|\(.*\))\s*", re.DOTALL)
SEVERAL_IN_A_TEXT: Final = re.compile(r"\S\s*[,;\r\n]\s*\S")


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
    :raises SourceError: for something that is no list, for rows of several columns, or for a mapping without exactly
        one kind of identifier.
    """
    columns_of = lru_cache(lambda keys: _columns_of(keys, row))
    of_any_kind: Callable[..., Row] = row
    for item in listed(profiles):
        if type(item) is not str and isinstance(item, Mapping):  # The first is quick, and true of most.
            yield columns_of(tuple(item)).entry(tuple(map(_plain, item.values())))
        else:
            yield of_any_kind(None, item)


def listed(profiles: Any) -> Generator[object]:
    """Yield what a list holds: strings and mappings, one or many, also from several tasks at once.

    A row of a query's result counts for its only value.

    :raises SourceError: for something that is no list, and for rows of several columns.
    """
    if isinstance(profiles, Concealed):
        # The author's own tuple is a list by now, so this one is what another task returned.
        profiles = profiles.value
        if _is_row(profiles):
            yield from _only_value(profiles)
            return
    yield from _items(profiles)


def _items(profiles: Any) -> Generator[object]:
    if isinstance(profiles, str):
        _check_text(profiles)
        yield profiles
        return
    if isinstance(profiles, Mapping):
        yield profiles
        return
    if hasattr(profiles, "columns"):
        raise SourceError(
            f"profiles is a table ({type(profiles).__name__}), not a list: hand over its column of identifiers, or "
            'its rows as mappings such as {"email": …}'
        )
    profiles = _as_list(profiles)
    if not isinstance(profiles, Iterable) or isinstance(profiles, BYTES):
        raise SourceError(f"profiles must be a list of identifiers, not {type(profiles).__name__}")
    are_rows = _may_be_rows(profiles)
    for item in profiles:
        if type(item) is str or item is None or isinstance(item, str | Mapping):
            yield item
        elif _is_row(item) or (are_rows and _looks_like_row(item)):
            yield from _only_value(item)
        elif isinstance(_as_list(item), Sequence | Set) and not isinstance(item, BYTES):
            yield from _items(item)
        else:
            yield _plain(item)


def _check_text(text: str) -> None:
    if TEXT_OF_A_LIST.fullmatch(text):
        raise SourceError(
            "profiles is the text of a list, not a list: a template gives text. Hand over another task's output itself "
            "(profiles=task.output), or write the list (profiles=[…]) with a template for each item"
        )
    if SEVERAL_IN_A_TEXT.search(text):
        raise SourceError(
            "profiles is one text with commas, semicolons or line breaks in it, not a list: write profiles=[…] with "
            "one item for each person, or path=… for a file"
        )


def _is_row(value: object) -> bool:
    """Tell whether a value is a row of a query's result: a tuple, or a database library's own class."""
    return isinstance(value, tuple) or (
        isinstance(value, Sequence) and (hasattr(value, "_mapping") or hasattr(value, "keys"))
    )


def _may_be_rows(items: object) -> bool:
    """Tell whether the lists in a list may be rows: they are all of one length.

    The outputs of several tasks are lists of people, and so are lists that differ in length.
    """
    if not isinstance(items, Sequence):
        return True
    is_plain = type(items) in (list, tuple)
    return is_plain and all(isinstance(item, list) for item in items) and len(set(map(len, items))) == 1


def _looks_like_row(item: object) -> bool:
    """Tell whether an item is a list of several values, and not of people who are named by mappings or rows."""
    return (
        isinstance(item, list)
        and len(item) > 1
        and not all(isinstance(one, list | Mapping) or _is_row(one) for one in item)
    )


def _only_value(row: Any) -> Generator[object]:
    if len(row) > 1:
        raise SourceError(
            f"profiles holds rows of {len(row)} values, and an item names one person: select one column, hand over "
            'mappings such as {"email": …}, or let this task read the query (sql=… with sql_conn_id=…)'
        )
    yield from map(_plain, row)


def _as_list(value: Any) -> Any:
    """Return an array or a column of a data frame as a list."""
    for name in ("to_pylist", "to_list", "tolist"):
        if hasattr(value, name) and not isinstance(value, BYTES):
            return getattr(value, name)()
    return value


def _plain(value: Any) -> Any:
    """Return the number or text that a numpy or Arrow scalar holds; any other value as it is."""
    if type(value) is str:
        return value
    if hasattr(value, "as_py"):
        return value.as_py()
    if hasattr(value, "dtype") and getattr(value.dtype, "kind", None) in ("b", "i", "u", "f"):
        return value.item()
    return value


def _columns_of(keys: tuple[object, ...], row: type[Row]) -> Columns[Row]:
    """Find the keys of a mapping, which has no others: one that is not understood may have been meant to matter."""
    from airflow_provider_klaviyo.sources.columns import Columns, details_of

    columns = Columns.of(keys, "a mapping in profiles", row)
    if len(keys) > sum(name is not None for name in columns.names):
        raise SourceError(
            f"a mapping in profiles may have {', '.join(details_of(row))} next to its identifier, and no other keys"
        )
    return columns
