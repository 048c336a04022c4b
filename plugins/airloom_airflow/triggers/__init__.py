"""Triggers: what a deferred task waits for, in Airflow's triggerer. They know neither pipelines nor stages."""
