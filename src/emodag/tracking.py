"""MLflow, in one place."""
