"""A file from which an emulator goes on where a killed one stopped.

One JSON object a line, only ever appended, each before the client has its answer. Accounts, keys, tokens, people,
what they did and what is to become of them are in it, so it is as secret as they are. Quotas, counts of calls and
faults are not: an emulator that goes on knows who is there and who is to go, and not how busy it was.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from airflow_provider_klaviyo.emulator.happenings import HAPPENINGS
from airflow_provider_klaviyo.emulator.settings import Settings
from airflow_provider_klaviyo.emulator.state import State


class JournalledState(State):
    """One emulated Klaviyo that begins with what its journal says, and writes down what becomes of it."""

    def __init__(self, settings: Settings, rng: Random, path: Path) -> None:
        super().__init__(settings, rng)
        self._path = path
        for line in _complete_lines(path):
            self._replay(**json.loads(line))

    def happen(self, what: str, **facts: Any) -> Any:
        """Let something happen, and write it down."""
        result = super().happen(what, **facts)
        with open(self._path, "a", encoding="utf-8", opener=private) as file:
            file.write(json.dumps({"what": what, **facts}) + "\n")
        return result

    def _replay(self, what: str, **facts: Any) -> None:
        """Let happen once more what was written down, and before it what was due by then."""
        if what not in HAPPENINGS:
            raise ValueError(f"The journal has a record of another kind: {what}.")
        if "now" in facts:
            self.settle(facts["now"])
        super().happen(what, **facts)


def private(path: str, flags: int) -> int:
    """Open a file; one that is made is its owner's alone."""
    return os.open(path, flags, 0o600)


def _complete_lines(path: Path) -> list[str]:
    """Return the lines of a file, and cut off what follows the last of them: a kill may have come in between."""
    if not path.exists():
        return []
    content = path.read_bytes()
    length = content.rfind(b"\n") + 1
    if length < len(content):
        with path.open("r+b") as file:
            file.truncate(length)
    return content[:length].decode("utf-8").splitlines()
