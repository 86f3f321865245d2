"""Keep a task's list of people out of everything that shows a task's fields: its rendered template above all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Concealed", "ConcealedField", "has_reference"]


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
    """A template field whose value is concealed as soon as it is data, and no longer what the DAG's author wrote.

    What the author wrote is kept as it is, so that Airflow finds the templates and the XComs in it. Data comes in two
    ways: Airflow sets the field again when it has rendered it; and a mapped task is made with what other tasks
    returned. The latter must not be rendered: an address with ``{{ … }}`` in it would be run as a template, and name
    somebody else.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else instance.__dict__.get(self._name)

    def __set__(self, instance: Any, value: Any) -> None:
        is_written = self._name not in instance.__dict__ and not getattr(instance, "_BaseOperator__from_mapped", False)
        as_it_is = value is None or is_written or isinstance(value, Concealed) or has_reference(value)
        instance.__dict__[self._name] = value if as_it_is else Concealed(value)


def has_reference(value: Any) -> bool:
    """Tell whether a value holds another task's output that is still to be filled in."""
    if isinstance(value, Mapping):
        return any(map(has_reference, value.values()))
    if isinstance(value, list | tuple | set):
        return any(map(has_reference, value))
    return hasattr(value, "iter_references")
