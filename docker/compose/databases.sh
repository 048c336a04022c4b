#!/bin/sh
# Postgres runs it once, on a new volume: a database and a user each for Airflow, MLflow and Marquez.
set -eu
make_database() {
    psql -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d postgres -v name="$1" -v password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}
make_database airflow "$AIRLOOM_AIRFLOW_DB_PASSWORD"
make_database mlflow "$AIRLOOM_MLFLOW_DB_PASSWORD"
make_database marquez "$AIRLOOM_MARQUEZ_DB_PASSWORD"
