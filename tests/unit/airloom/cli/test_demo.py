"""`airloom demo`: what it says at its end."""

from __future__ import annotations

from pathlib import Path

from airloom.cli.demo import find_files
from airloom.settings import load_settings
from airloom.spec import load_pipeline

ROOT = Path(__file__).parents[4]


def test_once_all_is_stopped_no_address_is_given(tmp_path: Path) -> None:
    settings = load_settings({"AIRLOOM_HOME": str(tmp_path / "home")})
    places = find_files(settings, load_pipeline(ROOT / "dags" / "pipelines" / "ops" / "flight_delay.yaml"))
    assert not [place for place in places.values() if "://" in place]
    assert str(tmp_path / "home") in places.values()
