"""Keep a task's list of people out of everything that shows a task's fields: its rendered template above all."""

from __future__ import annotations

from typing import Any

__all__ = ["Concealed", "Given", "Several"]


class Concealed:
    """Holds a value and shows, at most, how many there are. Airflow stores the ``str()`` of a rendered field."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        if isinstance(self.value, list | tuple):
            return f"<{len(self.value):,} not shown>"
        return "<not shown>"


class Given(Concealed):
    """What a mapped task was made with, and is not rendered yet."""

    __slots__ = ()


class Several(list[Any]):
    """What a DAG's author listed, with the outputs of other tasks in it: a list in it is a list, not a row."""
