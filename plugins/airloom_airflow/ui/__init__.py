"""Airloom's part of the Airflow web server: `artifacts` serves a run's reports to those who may read its DAG."""
