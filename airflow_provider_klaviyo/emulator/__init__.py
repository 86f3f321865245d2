"""A Klaviyo to develop and test against: a real HTTP server on loopback, with limits and faults.

    with Emulator() as emulator:
        emulator.add_profile(email="ada@example.com")
        ...  # point a client at emulator.url with emulator.account.key

On the command line: `python -m airflow_provider_klaviyo.emulator --help`.
"""

try:
    from airflow_provider_klaviyo.emulator.clock import ManualClock
    from airflow_provider_klaviyo.emulator.installations import Installation
    from airflow_provider_klaviyo.emulator.profiles import Profile
    from airflow_provider_klaviyo.emulator.server import Emulator
    from airflow_provider_klaviyo.emulator.tenants import Account
except ModuleNotFoundError as error:
    error.msg = f"{error.msg}: the emulator needs pip install 'airflow-provider-klaviyo[emulator]'"
    raise

__all__ = ["Account", "Emulator", "Installation", "ManualClock", "Profile"]
