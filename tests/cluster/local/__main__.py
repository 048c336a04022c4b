"""`python -m tests.cluster.local up|down|status`: a real Kubernetes on this machine; `make cluster-up` calls it.

Control plane, kubelets and CoreDNS are built from Go modules into a cache, once; etcd, containerd, runc and the CNI
plugins are Debian's. It wants root, Linux with cgroup v1, and Go. Whoever has a cluster needs none of this.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.local.cluster import LocalCluster
from tests.cluster.local.programs import ClusterError

_STATE = Path(__file__).parents[3] / "build" / "cluster"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.local", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--nodes", type=int, default=2, help="worker nodes [%(default)s]")
    parser.add_argument("--state", type=Path, default=_STATE, help="folder of everything that the cluster keeps")
    arguments = parser.parse_args(argv)
    if not 1 <= arguments.nodes <= 9:
        parser.error(f"--nodes {arguments.nodes}: give 1 to 9")
    cluster = LocalCluster(arguments.state.absolute())
    try:
        if arguments.command == "up":
            cluster.up(arguments.nodes, say=print)
            print(f"export KUBECONFIG={cluster.kubeconfig}")
        elif arguments.command == "down":
            cluster.down()
        else:
            print(cluster.status())
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
