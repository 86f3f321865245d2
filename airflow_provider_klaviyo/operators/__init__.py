"""What a DAG does to Klaviyo."""
