"""Klaviyo on the wire: requests, answers, errors, pace, and two clients. Nothing here knows Airflow."""
