"""What `airloom doctor` looks at on the Airflow side: Airflow itself, and the cluster that stages run in as pods.

`python -m airloom_airflow.doctor` is started by `airloom.doctor.airflow` with Airflow's Python, and prints the
diagnoses as one line of JSON. `folders` brings the pipeline files here that Airflow's bundles read. `cluster` is pure:
answers of an API server to diagnoses; `reading` gets the answers; `registry` asks for images; `installation` looks at
Airflow, `pipelines` and `notifiers` at what pipeline files ask of it. Nothing is changed: pods are tried by
`dryRun` only.
"""
