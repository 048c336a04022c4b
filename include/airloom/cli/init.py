"""`airloom init`: writes a commented minimal pipeline that runs as it is, on data that scikit-learn brings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from airloom.spec.pipeline import Metadata

_TEXT = """\
# A pipeline: from data to a registered model. Check it with `airloom validate`, see its DAGs with `airloom render`,
# run it without Airflow with `airloom run`. `airloom schema` has every key there is.
apiVersion: airloom.io/v1
kind: Pipeline
metadata:
  name: {name}
  # The team is the folder's name.

spec:
  # schedule: "@weekly"        # cron of the training; left out: by hand, and by drift

  data:
    sources:
      flowers:                 # also: csv, parquet, sql, batches
        type: package          # a data file inside an installed Python package
        package: sklearn
        path: datasets/data/iris.csv
        skip_rows: 1
        columns: [sepal_length, sepal_width, petal_length, petal_width, species]
    # query: SELECT * FROM flowers WHERE petal_length > 0       # DuckDB SQL over the sources
    # key: [flower_id]         # columns that identify a row; never features
    # timestamp: measured_at   # event time; splits and windows go by it
    # expectations:            # Great Expectations; they make the stage `validate`
    #   - expect_column_values_to_be_between: {{column: petal_length, min_value: 0, max_value: 10}}

  train:
    target: species
    estimator: sklearn.linear_model.LogisticRegression          # any scikit-learn estimator
    params: {{max_iter: 500}}

  evaluate:
    metrics: [accuracy_score]  # functions of sklearn.metrics

  # gates:                     # what a model must reach to be registered
  #   thresholds:
  #     accuracy_score: {{min: 0.9}}
  #   champion: {{metric: accuracy_score, tolerance: 0.01}}       # not worse than the model in use

  # promote: {{auto: true}}      # the registered model becomes champion …
  # deploy: {{target: gateway}}  # … and the inference gateway serves it

# environments:                # partial specs by name; AIRLOOM_ENVIRONMENT chooses one
#   staging:
#     train: {{holdout: 0.3}}
"""


def run(arguments: list[str]) -> int:
    """Write the file; refuses to replace one."""
    parser = argparse.ArgumentParser(prog="airloom init", description="Write a commented pipeline that runs as it is.")
    default = Path("dags/pipelines/example/flowers.yaml")
    parser.add_argument("path", nargs="?", type=Path, default=default, help=f"the new file [{default}]")
    path: Path = parser.parse_args(arguments).path
    try:
        Metadata(name=path.stem, team=path.absolute().parent.name)
    except ValidationError:
        print(
            f"airloom init: {path}: the file's and the folder's name become the pipeline's and the team's; "
            "give lower-case words and digits joined by single _ or -, such as my_team/my_pipeline.yaml",
            file=sys.stderr,
        )
        return 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(_TEXT.format(name=path.stem))
    except FileExistsError:
        print(f"airloom init: {path} is there already and stays as it is; give another path", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"airloom init: {path} cannot be written: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"{path} is written. Next: airloom validate {path}; airloom run {path}")
    return 0
