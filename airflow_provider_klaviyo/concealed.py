"""Keep a task's list of people out of everything that shows a task's fields: its rendered template above all."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["Concealed", "ConcealedField"]

UNSET: Final = object()


class Concealed:
    """Holds a value and shows, at most, how many there are. Airflow stores the ``str()`` of a rendered field."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        if isinstance(self.value, list | tuple):
            return f"<{len(self.value):,} not shown>"
        return "<not shown>"


class ConcealedField:
    """A template field whose value is concealed as soon as Airflow has rendered it.

    What the DAG's author writes is kept as it is, so that Airflow finds the templates and the XComs in it. Rendering
    is the first time that the field is set again.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else instance.__dict__.get(self._name)

    def __set__(self, instance: Any, value: Any) -> None:
        is_first = instance.__dict__.get(self._name, UNSET) is UNSET
        instance.__dict__[self._name] = value if is_first or isinstance(value, Concealed) else Concealed(value)
