"""Rectification: people whose identifiers are to change, and what becomes of that. No Airflow, no HTTP."""
