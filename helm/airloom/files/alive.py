"""`alive.py TriggererJob|DagProcessorJob started|alive`: the probe of Airflow's parts that serve no health check.

Whether this pod's own job has a heartbeat of the last two minutes, by Airflow's table `job`. Airflow's command
`airflow jobs check` asks the same, and loads all of Airflow for it: 4 s of a processor each time. A database that does
not answer is not this part's fault: it counts as alive, and as not started.
"""

from __future__ import annotations

import os
import socket
import sys
from urllib.parse import urlsplit

import psycopg2

_QUESTION = """
SELECT count(*) FROM job
WHERE job_type = %s AND hostname = %s AND state = 'running' AND latest_heartbeat > now() - interval '2 minutes'
"""


def main(job: str, what: str) -> int | str:
    address = urlsplit(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])._replace(scheme="postgresql").geturl()
    own = socket.gethostbyname(socket.getfqdn())  # as hostname_callable has it
    try:
        with psycopg2.connect(address, connect_timeout=5) as connection, connection.cursor() as cursor:
            cursor.execute(_QUESTION, (job, own))
            found = cursor.fetchone()
    except psycopg2.Error as error:
        print(f"the database does not answer: {error}")
        return 0 if what == "alive" else 1
    return 0 if found and found[0] else f"no heartbeat of {job} on {own} in two minutes"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
