"""Restriction: people who are to be sent no marketing e-mail any more. No Airflow, no HTTP."""
