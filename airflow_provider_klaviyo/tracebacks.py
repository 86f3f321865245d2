"""Keep variables out of errors, because error reporters show those of every frame: rows, addresses, passwords, keys.

::

    RuntimeError UnexpectedError  an error of Python's or of a library's about a value, which its text may quote
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from traceback import clear_frames
from typing import Any, Final, TypeVar

__all__ = ["UnexpectedError", "clear_variables", "hide_variables"]

PACKAGE: Final = Path(__file__).parent
TRUSTED: Final = ("airflow", PACKAGE.name)
RAISE: Final = dis.opmap["RAISE_VARARGS"]

T = TypeVar("T", bound=Callable[..., Any])


class UnexpectedError(RuntimeError):
    """A value was wrong in a way that nothing provides for. The traceback shows where.

    The text of the original error is not shown, because most errors about a value quote it.
    """


def hide_variables(target: T) -> T:
    """Decorate a function, also of a generator or a coroutine, or all public methods of a class.

    Their errors show no variables. The traceback stays, but none of its frames has variables any more, and no other
    error is its context. A ValueError or LookupError that is neither this package's nor Airflow's becomes an
    `UnexpectedError`.
    """
    if not isinstance(target, type):
        guarded: T = _guarded(target)
        return guarded
    for name, value in list(vars(target).items()):
        if inspect.isfunction(value) and not name.startswith("_"):
            setattr(target, name, _guarded(value))
    return target


def clear_variables(error: BaseException) -> None:
    """Take the variables out of the frames of an error, and of all others that it refers to, and forget these."""
    todo: list[BaseException] = [error]
    while todo:
        one = todo.pop()
        todo += [other for other in (one.__context__, one.__cause__) if other is not None]
        todo += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        clear_frames(one.__traceback__)
        one.__context__ = one.__cause__ = None


def _guarded(function: Any) -> Any:
    """Return a function that raises what is presentable of an error.

    It does so behind the except, where no error is being handled that would become the context, and once the arguments
    are forgotten, because its own frame cannot be cleared while it runs.
    """
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def guard(*args: Any, **kwargs: Any) -> Any:
            try:
                return await function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = _presentable(error)
            del args, kwargs
            raise failure

    elif inspect.isgeneratorfunction(function):

        @wraps(function)
        def guard(*args: Any, **kwargs: Any) -> Any:
            try:
                return (yield from function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = _presentable(error)
            del args, kwargs
            raise failure

    else:

        @wraps(function)
        def guard(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = _presentable(error)
            del args, kwargs
            raise failure

    return guard


def _presentable(error: BaseException) -> BaseException:
    """Return what to raise instead of an error, which is left without anything that shows variables."""
    shown = error
    if isinstance(error, LookupError | ValueError) and _may_quote(error):
        kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        shown = UnexpectedError(f"{kind}. Its text is not shown, because it can quote a row or a secret")
    traceback = error.__traceback__
    clear_variables(error)
    # The first frame is the guard's.
    return shown.with_traceback(traceback and traceback.tb_next)


def _may_quote(error: BaseException) -> bool:
    """Tell whether the text of an error may quote a value: unless it is written in this package, or in Airflow."""
    modules = {one.__module__.partition(".")[0] for one in type(error).__mro__}
    last = error.__traceback__
    if last is None or not modules.isdisjoint(TRUSTED):
        return False
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    return PACKAGE not in Path(code.co_filename).parents or code.co_code[last.tb_lasti] != RAISE
