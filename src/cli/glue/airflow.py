"""Starts a job of the service `{{ service }}`, and waits for its end.

The task fails unless the job succeeds. Exit codes: {{ exits }}.
JOBWATCH_TOKEN in the environment of the worker has the write token, where the daemon needs one.
"""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG(dag_id="{{ service }}", start_date=datetime(2026, 1, 1), schedule=None, catchup=False):
    # In place of ./create.sh: the command that starts the job, and prints the answer of the
    # cloud. If it prints the head too, as `curl -si` does, add the option -i.
    BashOperator(
        task_id="job",
        env={"JOBWATCH_URL": "{{ url }}"},
        append_env=True,
        # A second attempt would start a second job.
        retries=0,
        execution_timeout=timedelta(hours=24),
        bash_command="""
jobwatch do --service {{ service }} --label "run=$AIRFLOW_CTX_DAG_RUN_ID"{{ labels|python }} -- ./create.sh
""",
    )
