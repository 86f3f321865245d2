"""The lists and segments of one account, and who is in them.

Pure: the time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow_provider_klaviyo.emulator.paging import first_page

Kind = Literal["list", "segment"]


@dataclass(frozen=True, slots=True)
class Group:
    """A list or a segment; `created` is a Unix time, `position` the place in every listing."""

    kind: Kind
    id: str
    name: str
    created: float
    position: int


class Groups:
    """Lists and segments in the order in which they were made."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._joined: dict[str, set[str]] = {}

    def get(self, group_id: str) -> Group | None:
        """Return the list or segment with this id."""
        return self._groups.get(group_id)

    def add(self, kind: Kind, group_id: str, name: str, created: float) -> Group:
        """Make a list or a segment."""
        if group_id in self._groups:
            raise ValueError(f"There is a list or segment {group_id} already.")
        group = self._groups[group_id] = Group(kind, group_id, name, created, len(self._groups))
        return group

    def join(self, profile_id: str, group_id: str) -> None:
        """Put somebody into a list or segment; more than once is once."""
        self._joined.setdefault(profile_id, set()).add(group_id)

    def move(self, source_id: str, destination_id: str) -> None:
        """Put one profile into all lists and segments of another, which leaves them."""
        self._joined.setdefault(destination_id, set()).update(self._joined.pop(source_id, ()))

    def leave(self, profile_id: str) -> None:
        """Take somebody out of all of them."""
        self._joined.pop(profile_id, None)

    def empty(self) -> None:
        """Take everybody out of all of them."""
        self._joined.clear()

    def page(self, kind: Kind, profile_id: str, *, start: int, size: int) -> tuple[list[Group], int | None]:
        """Return up to `size` of the groups that somebody is in, and where the next page starts."""
        joined = self._joined.get(profile_id, ())
        ahead = [group for group in self._groups.values() if group.id in joined and group.kind == kind]
        return first_page((group for group in ahead if group.position >= start), size)
