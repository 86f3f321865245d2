"""Everything that an error reporter may show of an error: texts, notes, and the variables of all frames.

Such reporters read the context of an error also behind `from None`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["assert_none_shown", "everything_shown"]

TESTS = Path(__file__).resolve().parents[1]


def everything_shown(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield where something is shown, and what: of an error, of all that it refers to, and of their frames.

    The frames of tests that have called the package are left out: they know what must not be shown.
    """
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        todo += [one.__context__, one.__cause__]
        todo += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        name = type(one).__name__
        yield name, f"{one} {one!r} {one.args!r}"
        yield f"{name}, attributes", _shown(vars(one))
        for frame in _frames(one):
            yield from _variables(frame)


def assert_none_shown(error: BaseException, secrets: Iterable[str]) -> None:
    """See that no secret is shown, in small letters or in large ones."""
    for place, text in everything_shown(error):
        for secret in secrets:
            at = text.lower().find(secret.lower())
            assert at < 0, f"{secret} is shown in {place}: …{text[max(0, at - 100) : at + 200]}…"


def _frames(error: BaseException) -> Iterator[FrameType]:
    traceback, is_called = error.__traceback__, False
    while traceback is not None:
        frame = traceback.tb_frame
        is_called = is_called or TESTS not in Path(frame.f_code.co_filename).parents
        if is_called:
            yield frame
        traceback = traceback.tb_next


def _variables(frame: FrameType) -> Iterator[tuple[str, str]]:
    place = f"{frame.f_code.co_filename} {frame.f_code.co_qualname}"
    for name, value in frame.f_locals.items():
        yield f"{place}: {name}", _shown(value)
    if "self" in frame.f_locals:
        for name, value in _attributes(frame.f_locals["self"]).items():
            yield f"{place}: self.{name}", _shown(value)


def _attributes(instance: object) -> dict[str, Any]:
    slots = [name for one in type(instance).__mro__ for name in getattr(one, "__slots__", ())]
    return {name: getattr(instance, name, None) for name in slots} | getattr(instance, "__dict__", {})


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - such as of an object that is not all there yet
        return f"no repr: {type(error).__name__}"
