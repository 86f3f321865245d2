"""Change what an emulator holds at an exact moment of a task: directly before one of its calls is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.emulator.answers import Answer
from airflow_provider_klaviyo.emulator.asking import Asked
from airflow_provider_klaviyo.emulator.endpoint import Endpoint
from airflow_provider_klaviyo.emulator.endpoints import ENDPOINT_NAMES


@contextmanager
def before_call(
    emulator: Emulator, endpoint_name: str, act: Callable[[], object], *, number: int = 1
) -> Iterator[None]:
    """Run something once, after a call has reached the emulator and before it is answered; others come and go as usual.

    At the end, raise what `act` raised, and fail if no such call came: the test would have tested nothing.

    :param endpoint_name: such as ``update_profile``.
    :param act: uses the emulator's controls, or anything but the emulator's own HTTP: the call waits for it.
    :param number: of the call to that endpoint, counted from here on; 1 for the next one.
    """
    if endpoint_name not in ENDPOINT_NAMES:
        raise ValueError(f"No endpoint is called {endpoint_name}.")
    answer, calls, errors = emulator.answer, 0, list[Exception]()

    def act_and_answer(endpoint: Endpoint, asked: Asked) -> tuple[Answer, float]:
        nonlocal calls
        if endpoint.name == endpoint_name:
            calls += 1
            if calls == number:
                try:
                    act()
                except Exception as error:  # noqa: BLE001 - raised in the test's own thread
                    errors.append(error)
        return answer(endpoint, asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emulator, "answer", act_and_answer)
        yield
    for error in errors:
        raise error
    if calls < number:
        raise AssertionError(f"{endpoint_name} was called {calls} times, so that nothing was done before call {number}")
