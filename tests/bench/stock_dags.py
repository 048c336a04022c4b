"""A DAG file of stock KubernetesPodOperator tasks: the peer of the cluster bench. It is copied beside `stock.json`.

`stock_…_0` is a chain of the same three stages that Airloom's small pipeline has, in the same pods; others have one.
"""

import json
from pathlib import Path

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG

told = json.loads(Path(__file__).with_name("stock.json").read_text())
for mode in ("sync", "deferrable"):
    for number in range(told["at_once"] + 1):
        with DAG(f"stock_{mode}_{number}", schedule=None, max_active_tasks=64, catchup=False) as dag:
            before = None
            for stage in ("ingest", "train", "register") if number == 0 else ("ingest",):
                task = KubernetesPodOperator(
                    task_id=stage,
                    name=f"stock-{stage}",
                    namespace=told["namespace"],
                    config_file=told["kubeconfig"],
                    kubernetes_conn_id=None,
                    in_cluster=False,
                    pod_template_dict=told["pods"][stage],
                    base_container_name="stage",
                    labels={"airloom.io/bench": "stock"},
                    deferrable=mode == "deferrable",
                    retries=1,
                )
                if before is not None:
                    before >> task
                before = task
        globals()[dag.dag_id] = dag
