"""Airloom: a model's whole life from one YAML file. This dist is the Airflow-free side.

Rooms, from the bottom up: `errors` · `spec` (the pipeline file) · `protocol` (what Airflow and a stage say to each
other) · `ports` (what a stage may ask for) · `adapters` (one package a vendor) · `stages` (the work itself) ·
`serving` (the inference gateway) · `cli` (the `airloom` command). Nothing here imports Airflow.
"""

__version__ = "0.1.0"
