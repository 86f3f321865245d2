"""The record of every request and what became of it, in any database that Airflow has a connection to."""
