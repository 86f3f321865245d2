"""Airflow connections turned into Klaviyo clients."""
