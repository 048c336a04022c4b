"""Airloom's part of the Airflow web server: `artifacts` serves a run's reports to people who are logged in."""
