"""`python -m airflow_provider_klaviyo.oauth`: have an app authorised, and get the refresh token for a connection.

Nothing secret is an argument: arguments are in the shell's history, and in everybody's list of processes.

Source: https://developers.klaviyo.com/en/docs/set_up_oauth
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from getpass import getpass
from typing import Final

from airflow_provider_klaviyo.api.authorization import authorization_url, read_code
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.credentials import OAuthApp
from airflow_provider_klaviyo.api.errors import KlaviyoError
from airflow_provider_klaviyo.api.oauth import exchange_code
from airflow_provider_klaviyo.api.settings import DEFAULT_BASE_URL, Settings

__all__ = ["main"]

SCOPES: Final = ("accounts:read", "data-privacy:write", "profiles:read")


def main(arguments: Sequence[str] | None = None) -> int:
    """Lead somebody through the authorization, and print the refresh token."""
    options = _parser().parse_args(arguments)
    state, code_verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    url = authorization_url(
        options.client_id,
        redirect_uri=options.redirect_uri,
        scopes=options.scopes,
        state=state,
        code_verifier=code_verifier,
    )
    print(f"Open this page, signed in to the Klaviyo account that the app is to work on, and agree:\n\n{url}\n")
    print("The browser is then sent to the redirect URI; it does not matter if there is nothing to see. Within five")
    print("minutes paste here the whole address that it shows:")
    try:
        code = read_code(input(), state)
        # The code is all that the app has of the account so far.
        app = OAuthApp(client_id=options.client_id, client_secret=getpass("Client secret: "), refresh_token=code)
        with KlaviyoClient(Settings(oauth=app, base_url=options.base_url)) as client:
            tokens = client.run(
                exchange_code(
                    app.client_id,
                    app.client_secret,
                    code=code,
                    code_verifier=code_verifier,
                    redirect_uri=options.redirect_uri,
                )
            )
    except (EOFError, KeyboardInterrupt):
        print("Nothing was done.", file=sys.stderr)
        return 1
    except KlaviyoError as error:
        print(f"No refresh token: {error}.", file=sys.stderr)
        return 1
    print("\nPut this into the connection's field 'OAuth refresh token' (oauth_refresh_token), and nowhere else:\n")
    print(tokens.refresh_token)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_klaviyo.oauth",
        description="Have an app authorised in a Klaviyo account, and print the refresh token for Airflow's "
        "connection. Asks for the client secret.",
    )
    parser.add_argument("--client-id", required=True, help="of the app, as Klaviyo shows it")
    parser.add_argument("--redirect-uri", required=True, help="one of those that the app names in Klaviyo")
    parser.add_argument(
        "--scopes", nargs="+", default=list(SCOPES), help=f"at most the app's own; by default {' '.join(SCOPES)}"
    )
    parser.add_argument("--base-url", default=DEFAULT_BASE_URL, help="where tokens are given out; %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
