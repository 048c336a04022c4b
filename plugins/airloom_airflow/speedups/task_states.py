"""Asks Airflow how many runs of a DAG there are, and what states tasks have, in a worker or a triggerer.

Airflow's public interface names `get_dr_count` and `get_task_states` on the task instance of a task's context. A
trigger has no context, and a task that asks for others' has no more use for it: both are static methods of the class
behind it, which is not public. Airflow's own triggers (`providers.standard`, `WorkflowTrigger`) import it as this does.
"""

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance as RuntimeTaskInstance
