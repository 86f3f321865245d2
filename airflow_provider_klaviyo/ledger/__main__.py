"""`python -m airflow_provider_klaviyo.ledger`: see `airflow_provider_klaviyo.commands`."""

import sys

from airflow_provider_klaviyo.commands import main

if __name__ == "__main__":
    sys.exit(main())
