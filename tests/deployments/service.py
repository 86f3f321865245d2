"""A process that is started, killed and started again, and that leaves nothing running in the end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

END_SECONDS = 30


class Service:
    """A command that is to run, each time in a session of its own, with one log for all times.

    :param log: that everything it prints is added to.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.command = command
        self.environment = environment
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        # What a killed process leaves behind goes on in its session; the leader's process id is the session's.
        self.sessions: list[int] = []

    @property
    def is_running(self) -> bool:
        """Whether the process itself is there."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process; it may not be ready for a while."""
        if self.is_running:
            raise RuntimeError(f"{self.name} is running already.")
        self.started_at = time.time()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.sessions.append(self.process.pid)

    def kill(self) -> None:
        """Kill the process, and only that: what it has started goes on, as after the kernel's own kill."""
        if not self.is_running:
            raise RuntimeError(f"{self.name} is not running:\n{self.tail()}")
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Kill everything that it has ever started."""
        give_up = time.monotonic() + END_SECONDS
        while left := processes_of(self.sessions):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            if time.monotonic() > give_up:
                raise RuntimeError(f"{self.name} does not end: {left} are left.")
            time.sleep(0.05)
        if self.process is not None:
            self.process.wait(END_SECONDS)

    def describe(self) -> str:
        """Return what runs of it, and the end of its log."""
        running = []
        for pid in processes_of(self.sessions):
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                running.append(f"{pid} of {process.ppid()}, {process.status()}: {' '.join(process.cmdline())[:120]}")
        return "\n".join([self.name, *running, self.tail()])

    def tail(self, lines: int = 25, width: int = 240) -> str:
        """Return the end of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(line[:width] for line in self.log.read_text(errors="replace").splitlines()[-lines:])


def processes_of(sessions: Sequence[int]) -> list[int]:
    """Return the ids of all processes of some sessions, but for those that only wait for a parent to look."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(pid) in sessions and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found
