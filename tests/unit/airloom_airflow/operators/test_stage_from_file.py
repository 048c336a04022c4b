"""One stage of a pipeline file, for a hand-written DAG."""

from __future__ import annotations

import pytest
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom.errors import ConfigError
from airloom_airflow.operators.stage_from_file import load_stage


def test_a_stage_reads_what_those_before_it_in_its_family_wrote(pipelines):
    given = load_stage(write_pipeline(pipelines, "whole", text=FULL), "train")
    assert given["stage"] == "train"
    assert given["earlier"] == ("ingest", "validate", "features")
    assert given["pipeline"].full_name == "ops.whole"


def test_a_stage_that_the_pipeline_lacks_is_refused_with_those_that_it_has(pipelines):
    with pytest.raises(ConfigError, match=r"no stage 'score'; it has ingest, train, register"):
        load_stage(write_pipeline(pipelines, "small"), "score")
