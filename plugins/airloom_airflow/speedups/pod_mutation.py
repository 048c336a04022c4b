"""The installation's `pod_mutation_hook`, which whoever makes pods for Airflow must call.

Airflow's public interface says how an administrator defines it (cluster policies), and not how it is called:
KubernetesPodOperator and KubernetesExecutor find it in `airflow.settings`, and so does this.
"""

from airflow.settings import pod_mutation_hook as pod_mutation_hook
