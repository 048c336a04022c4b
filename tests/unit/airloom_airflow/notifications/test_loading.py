"""A notifier by its path: whatever is wrong with it is said in words."""

from __future__ import annotations

import pytest
from tests.unit.airloom_airflow.notifications.notifiers import Kept

from airloom.errors import ConfigError
from airloom_airflow.notifications.loading import load_notifier

HERE = "tests.unit.airloom_airflow.notifications.notifiers"


def test_a_notifier_gets_its_arguments_and_leaves_them_as_they_are():
    args = {"text": "{{ airloom.reason }}"}
    notifier = load_notifier(f"{HERE}.Kept", args)
    assert isinstance(notifier, Kept)
    notifier({"airloom": {"reason": "late"}})
    assert Kept.said.pop() == "late"
    assert args == {"text": "{{ airloom.reason }}"}


@pytest.mark.parametrize(
    ("path", "args", "words"),
    [
        ("nowhere.to_be.Found", {}, "Install what brings it"),
        (f"{HERE}.Lost", {}, "cannot be loaded"),
        (f"{HERE}.no_notifier", {}, "is no notifier"),
        ("pathlib.Path", {}, "is no notifier"),
        (f"{HERE}.Kept", {"to": "ops"}, "does not take these arguments"),
    ],
)
def test_what_cannot_be_called_is_refused_with_words(path, args, words):
    with pytest.raises(ConfigError, match=words):
        load_notifier(path, args)
