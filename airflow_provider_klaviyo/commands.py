"""`python -m airflow_provider_klaviyo.ledger`: what somebody has to do about a ledger by hand.

The exit status is 0 when all is done, 1 when it is not, and 2 when the arguments are wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from airflow_provider_klaviyo.ledger.ledger import Ledger

__all__ = ["main"]

NOT_DONE: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry a command out, and return the exit status."""
    options = _parser().parse_args(arguments)
    # Airflow takes seconds to import: not for --help.
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_klaviyo.api.errors import KlaviyoError
    from airflow_provider_klaviyo.hooks.command_line import find_connections_as_airflow_does
    from airflow_provider_klaviyo.hooks.ledger import open_ledger
    from airflow_provider_klaviyo.ledger.errors import LedgerError

    find_connections_as_airflow_does()
    run: Callable[[argparse.Namespace, Ledger], int] = options.run
    try:
        with open_ledger(options.ledger_conn_id, options.klaviyo_conn_id, f"the command {options.command}") as (it, _):
            return run(options, it)
    except (AirflowException, KlaviyoError, LedgerError) as error:
        print(f"Not done: {error}.", file=sys.stderr)
        return NOT_DONE


def _withdraw_after_restore(options: argparse.Namespace, ledger: Ledger) -> int:
    """Withdraw every plan that is not finished, once somebody has agreed."""
    from airflow_provider_klaviyo.ledger.restored import unfinished_plans, withdraw_all

    unfinished = unfinished_plans(ledger)
    of = f"the ledger {options.ledger_conn_id!r}, account {ledger.account_id}"
    if not unfinished:
        print(f"Nothing to do: no plan of {of}, is unfinished.")
        return 0
    number = sum(one.requests for one in unfinished)
    print(f"Unfinished plans of {of}: {len(unfinished):,}, with {number:,} deletions that are still to be requested.")
    if not options.yes and not _agrees("Withdraw all of them? Type yes: "):
        print("Nothing was changed.", file=sys.stderr)
        return NOT_DONE
    withdrawn = withdraw_all(ledger, unfinished)
    print(
        f"Plans withdrawn: {withdrawn.plans:,}. Deletions that are not requested any more: {withdrawn.unsent:,}. "
        f"Deletions that may have been requested before, and are watched: {withdrawn.in_doubt:,}."
    )
    print(
        "Run the DAG that plans deletions now: it looks up everyone who is listed today, and plans who is still there."
    )
    return 0


def _withdraw(options: argparse.Namespace, ledger: Ledger) -> int:
    """Withdraw one plan."""
    from airflow_provider_klaviyo.ledger.planning import withdraw_plan

    done = withdraw_plan(ledger, options.plan_id)
    print(
        f"Plan {done.plan_id} of {done.actor} is withdrawn. Deletions that are not requested any more: "
        f"{done.unsent:,}. Deletions that may have been requested already, and are watched: {done.in_doubt:,}."
    )
    return 0


def _agrees(question: str) -> bool:
    try:
        return input(question).strip().lower() == "yes"
    except (EOFError, KeyboardInterrupt):
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_klaviyo.ledger", description="Look after a ledger."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    restored = commands.add_parser(
        "restored",
        help="withdraw what a ledger from a backup would have deleted",
        description="Withdraw all unfinished plans of an account, after the ledger's database was restored from a "
        "backup: since it was saved they may have been withdrawn, corrected or worked off. Pause the DAGs that delete, "
        "restore, run this, and only then go on.",
    )
    restored.add_argument("--yes", action="store_true", help="do not ask")
    restored.set_defaults(run=_withdraw_after_restore)
    withdraw = commands.add_parser(
        "withdraw",
        help="stop a plan",
        description="Withdraw a plan: no worker sends a deletion of it any more, also not one that waits for its turn "
        "or is being retried.",
    )
    withdraw.add_argument("plan_id", help="as the log and the XCom of the plan's task give it")
    withdraw.set_defaults(run=_withdraw)
    for command in (restored, withdraw):
        command.add_argument("--ledger-conn-id", default="klaviyo_ledger", help="of the ledger's database; %(default)s")
        command.add_argument("--klaviyo-conn-id", default="klaviyo_default", help="of the account; %(default)s")
    return parser
