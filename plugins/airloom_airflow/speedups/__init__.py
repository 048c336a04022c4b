"""Everything of Airloom's that leans on Airflow's insides: patches that make it faster, and names that are not public.

Airflow's "Public Interface" page says what may be relied on. What lies outside it is used here and nowhere else
(`tests/checks/airflow_public.py` keeps it so); the rest of Airloom runs without the patches, only slower.

Patches: `executor`, `triggerer` with `trigger_log`, and `version_index`. Each says in its docstring what it works
round, the upstream issue, when it can go and the versions of Airflow that it was tested with. `switch` leaves it off,
with a word in the log, on any other version and where `AIRLOOM_SPEEDUPS=off`: Airflow's own then does the work.

Names, one module a need, each with its reason: `task_states`, `pod_mutation`, `stats`, `web_login`. They patch nothing,
and are there on every version that Airloom supports; `make test-airflow-versions` shows it.

Not here: what merely moved between versions of Airflow's public interface (`airloom_airflow.public_names`).
"""
