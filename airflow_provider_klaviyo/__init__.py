"""Erase people from Klaviyo with Apache Airflow."""

__version__ = "0.1.0"
