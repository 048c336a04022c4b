"""What `airloom doctor` looks at on the Airflow-free side: settings, pipeline files, libraries, stores and servers.

`airloom.cli.doctor` calls it. Each function looks at one thing, and gives a `Diagnosis` for each that it finds; none
raises for what is wrong. Airflow and Kubernetes are looked at by `airloom_airflow.doctor`, which `airflow` here starts
with Airflow's own Python.
"""
