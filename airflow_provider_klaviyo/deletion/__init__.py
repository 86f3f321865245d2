"""What is promised about every identifier of a list. Nothing here knows Airflow, and nothing here does HTTP."""
