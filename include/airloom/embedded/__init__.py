"""The embedded runtime: Airflow, MLflow, the gateway and the warm stage host on loopback, started and stopped as one.

`runtime` is what commands use; `supervisor` is the process above the pieces; `pieces` says what they are; `airflow_api`
talks to Airflow as a person's tools would. No cluster, no container, nothing outside the home folder.
"""
