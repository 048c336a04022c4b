"""The cluster that these tests run on: the one that `AIRLOOM_TEST_KUBECONFIG` names, or one of our own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.local.cluster import LocalCluster


@pytest.fixture(scope="session")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster of our own, for tests that break its nodes or look below them."""
    if os.environ.get("AIRLOOM_TEST_KUBECONFIG"):
        pytest.skip("needs a cluster whose nodes it may break; AIRLOOM_TEST_KUBECONFIG names another's")
    cluster = LocalCluster(Path(__file__).parents[2] / "build" / "test-cluster")
    cluster.down()
    cluster.up(say=lambda text: print(text, flush=True))
    yield cluster
    cluster.down()
