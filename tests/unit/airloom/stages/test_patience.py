"""A store that is away is waited for; one that answers with a no is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from airloom.adapters.local_folder import LocalFolderObjectStore
from airloom.errors import DataError, StoreAwayError, UnavailableError
from airloom.protocol import Artifact
from airloom.stages import patience
from airloom.stages.patience import PatientObjectStore


class FlakyStore(LocalFolderObjectStore):
    """A folder store that fails as often as it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    def write(self, uri: str, content: bytes) -> Artifact:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return super().write(uri, content)

    def publish_folder(self, prefix: str) -> None:
        self.asked += 1
        raise UnavailableError("another run has published it meanwhile")


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_SECONDS", 0.01)
    return (tmp_path / "x").as_uri()


def test_what_could_not_be_written_is_written_once_the_store_is_back(
    uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = FlakyStore(StoreAwayError("away"), StoreAwayError("away"))
    assert PatientObjectStore(store, 60).write(uri, b"x").size == 1
    assert store.asked == 3
    assert caplog.text.count("away; asking again, for 60 s more at most") == 2


def test_an_answer_is_not_asked_for_again(uri: str) -> None:
    store = FlakyStore(UnavailableError("the disk is full"))
    with pytest.raises(UnavailableError, match="the disk is full"):
        PatientObjectStore(store, 60).write(uri, b"x")
    with pytest.raises(UnavailableError, match="another run"):
        PatientObjectStore(store, 60).publish_folder(uri)
    with pytest.raises(DataError):
        PatientObjectStore(store, 60).read(uri)
    assert store.asked == 2


def test_once_given_up_it_is_not_waited_for_again_until_it_has_answered(uri: str) -> None:
    store = FlakyStore(*[StoreAwayError("away")] * 1000)
    patient = PatientObjectStore(store, 0.05)
    with pytest.raises(StoreAwayError, match=r"It was away for 0\.05 s, .* \(AIRLOOM_STORE_SECONDS\)"):
        patient.write(uri, b"x")
    asked = store.asked
    assert asked > 1
    with pytest.raises(StoreAwayError):
        patient.write(uri, b"x")
    assert store.asked == asked + 1
    store.errors = []
    patient.write(uri, b"x")
    store.errors = [StoreAwayError("away")]
    patient.write(uri, b"x")
