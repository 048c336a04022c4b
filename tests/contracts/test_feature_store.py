"""What every feature store must do; run on Feast (files and SQLite), in a folder and in a bucket."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from airloom.adapters.feast import FeastFeatureStore
from airloom.errors import DataError, SpecError
from airloom.ports import FeatureStore
from airloom.spec.pipeline import FeatureView
from airloom.stages.wiring import open_object_store

PRICES = pd.DataFrame(
    {
        "shop": ["a", "a", "b"],
        "at": pd.to_datetime(["2013-01-01", "2013-01-10", "2013-01-05"], utc=True),
        "price": [1.0, 2.0, 9.0],
    }
)
SIZES = pd.DataFrame({"shop": ["a", "b"], "size": [10, 20]})
VIEWS = {
    "prices": FeatureView(entity="shop", timestamp="at", columns=("price",)),
    "sizes": FeatureView(entity="shop", columns=("size",)),
}


@pytest.fixture(params=["folder", "bucket"])
def prefix(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bucket":
        return f"s3://{request.getfixturevalue('bucket')}/feature_store"
    return (tmp_path / "store").as_uri()


@pytest.fixture
def store(prefix: str) -> FeatureStore:
    return open_store(prefix)


def open_store(prefix: str) -> FeatureStore:
    return FeastFeatureStore(open_object_store(prefix), prefix)


def apply(store: FeatureStore, folder: Path, views: dict[str, FeatureView] = VIEWS, **frames: pd.DataFrame) -> None:
    tables = {}
    for name, frame in {"prices": PRICES, "sizes": SIZES, **frames}.items():
        tables[name] = folder / f"{name}.parquet"
        frame.to_parquet(tables[name])
    store.apply(views, tables)


def test_rows_get_the_values_of_their_own_time_in_their_own_order(store: FeatureStore, tmp_path: Path) -> None:
    apply(store, tmp_path)
    rows = pd.DataFrame(
        {
            "id": [1, 2, 3, 4, 5],
            "shop": ["a", "b", "a", "a", "unknown"],
            "time": pd.to_datetime(["2013-01-11", "2013-01-04", "2013-01-09", "2012-12-31", "2013-01-11"]),
        },
        index=[9, 8, 7, 6, 5],
    )
    joined = store.join(rows, "time")
    assert joined["id"].tolist() == [1, 2, 3, 4, 5]
    assert joined["price"].fillna(-1).tolist() == [2.0, -1.0, 1.0, -1.0, -1.0], "never a value of the future"
    assert joined["size"].fillna(-1).tolist() == [10, 20, 10, 10, -1]


def test_without_a_time_the_newest_values_are_joined(store: FeatureStore, tmp_path: Path) -> None:
    apply(store, tmp_path)
    joined = store.join(pd.DataFrame({"shop": ["b", "a"]}), None)
    assert joined["price"].tolist() == [9.0, 2.0]


def test_a_value_that_is_too_old_is_not_joined(store: FeatureStore, tmp_path: Path) -> None:
    short = FeatureView(entity="shop", timestamp="at", columns=("price",), ttl_hours=24)
    apply(store, tmp_path, {"prices": short})
    rows = pd.DataFrame({"shop": ["a", "a"], "time": pd.to_datetime(["2013-01-10T12:00", "2013-01-12T00:00"])})
    assert store.join(rows, "time")["price"].fillna(-1).tolist() == [2.0, -1.0]


def test_the_newest_values_come_online(store: FeatureStore, tmp_path: Path) -> None:
    apply(store, tmp_path)
    store.materialise()
    assert store.look_up("prices", ["b", None, "a", "unknown", "a"]) == {"price": [9.0, None, 2.0, None, 2.0]}
    newer = pd.concat([PRICES, PRICES.tail(1).assign(at=pd.Timestamp("2013-02-01", tz="UTC"), price=3.0)])
    apply(store, tmp_path, prices=newer)
    store.materialise()
    assert store.look_up("prices", ["b", "a"]) == {"price": [3.0, 2.0]}


def test_another_process_sees_what_was_materialised_last(store: FeatureStore, prefix: str, tmp_path: Path) -> None:
    apply(store, tmp_path)
    store.materialise()
    reader = open_store(prefix)
    assert reader.look_up("prices", ["b", "a"]) == {"price": [9.0, 2.0]}
    assert reader.join(pd.DataFrame({"shop": ["b", "a"]}), None)["price"].tolist() == [9.0, 2.0]
    newer = pd.concat([PRICES, PRICES.tail(1).assign(at=pd.Timestamp("2013-02-01", tz="UTC"), price=3.0)])
    apply(store, tmp_path, prices=newer)
    store.materialise()
    reader.refresh()
    assert reader.look_up("prices", ["b", "a"]) == {"price": [3.0, 2.0]}


def test_a_view_that_is_no_longer_named_goes_away(store: FeatureStore, prefix: str, tmp_path: Path) -> None:
    apply(store, tmp_path)
    store.materialise()
    apply(store, tmp_path, {"sizes": VIEWS["sizes"]})
    store.materialise()
    assert list(store.join(pd.DataFrame({"shop": ["a"]}), None)) == ["shop", "size"]
    with pytest.raises(DataError, match="no feature view 'prices'"):
        open_store(prefix).look_up("prices", ["a"])


def test_what_cannot_be_joined_is_told_with_the_remedy(store: FeatureStore, tmp_path: Path) -> None:
    apply(store, tmp_path)
    with pytest.raises(DataError, match="lack the features' entities shop"):
        store.join(pd.DataFrame({"x": [1]}), None)
    with pytest.raises(SpecError, match="have already: price"):
        store.join(pd.DataFrame({"shop": ["a"], "price": [0.0]}), None)


def test_an_entity_of_two_types_is_the_files_fault(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'shop' is INT64 here and STRING in another view"):
        apply(store, tmp_path, sizes=pd.DataFrame({"shop": [1, 2], "size": [10, 20]}))
    with pytest.raises(SpecError, match="an entity is an integer or text"):
        apply(store, tmp_path, {"sizes": VIEWS["sizes"]}, sizes=pd.DataFrame({"shop": [1.5], "size": [10]}))


def test_a_view_without_values_is_bad_data(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"features\.views\.sizes has no values"):
        apply(store, tmp_path, {"sizes": VIEWS["sizes"]}, sizes=pd.DataFrame({"shop": [None], "size": [10]}))
