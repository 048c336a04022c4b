"""What Azure adds to the object stores' contract: how its server fails, and what of two publishers is refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from tests.azure_emulator import AzureEmulator
from tests.forked import call_in_fork

from airloom.adapters.obstore import CloudObjectStore
from airloom.errors import ConfigError, UnavailableError


@pytest.fixture
def prefix(container: str) -> str:
    return f"az://{container}/airloom"


def assert_refused(prefix: str, why: str) -> None:
    store = CloudObjectStore()
    for ask in (store.read, store.local, store.exists, store.list, store.delete, store.folder):
        with pytest.raises(ConfigError, match=why):
            ask(f"{prefix}/x")
    with pytest.raises(ConfigError, match=why):
        store.write(f"{prefix}/x", b"")
    with pytest.raises(ConfigError, match=why):
        store.replace(f"{prefix}/x", b"", None)


def test_a_wrong_key_is_a_fault_of_the_settings(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "bm90IHRoZSBrZXk=")
    assert_refused(prefix, "AZURE_STORAGE_")


def test_a_container_that_is_not_there_is_a_fault_of_the_settings(container: str) -> None:
    assert_refused("az://airloom-no-such-container/airloom", r"no bucket or container .*AIRLOOM_ARTIFACTS_URI")


def test_no_account_is_a_fault_of_the_settings(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ENDPOINT"):
        monkeypatch.delenv(name)
    assert_refused(prefix, "AZURE_STORAGE_")


@pytest.mark.parametrize(
    "uri",
    ["file:///a", "s3://b/c", "az:///key", "az://b", "az://b/a//b", "az://b/../c", "az://b/%2e%2e/c", "gs://b/a?x"],
)
def test_uris_that_lead_elsewhere_are_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="no gs://bucket/key or az://container/key URI"):
        CloudObjectStore().read(uri)


def test_a_server_that_is_away_is_waited_for_by_the_orchestrator(prefix: str, azure_emulator: AzureEmulator) -> None:
    store = CloudObjectStore()
    with azure_emulator.away():
        for ask in (store.read, store.exists, store.delete, store.list):
            with pytest.raises(UnavailableError):
                ask(f"{prefix}/x")
        with pytest.raises(UnavailableError):
            store.write(f"{prefix}/x", b"")


def test_a_large_file_goes_in_parts_and_comes_back_whole(prefix: str, tmp_path: Path) -> None:
    content = b"0123456789abcdef" * (20 * 2**20 // 16)
    (tmp_path / "large").write_bytes(content)
    artifact = CloudObjectStore().upload(tmp_path / "large", f"{prefix}/large")
    assert (artifact.size, artifact.digest) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert CloudObjectStore().local(f"{prefix}/large").read_bytes() == content


def test_of_two_that_publish_a_folder_at_once_one_is_refused(prefix: str) -> None:
    first, second = CloudObjectStore(), CloudObjectStore()
    for store in (first, second):
        (store.folder(f"{prefix}/own") / "who").write_text(str(id(store)))
    first.publish_folder(f"{prefix}/own")
    with pytest.raises(UnavailableError, match="another run has published"):
        second.publish_folder(f"{prefix}/own")
    assert (CloudObjectStore().folder(f"{prefix}/own") / "who").read_text() == str(id(first))


def test_used_before_a_fork_it_says_so_in_the_child_and_does_not_hang(prefix: str) -> None:
    store = CloudObjectStore()
    store.write(f"{prefix}/x", b"x")
    for child_store in (store, CloudObjectStore()):
        raised = call_in_fork(lambda child_store=child_store: child_store.read(f"{prefix}/x"))
        assert isinstance(raised, ConfigError), raised
        assert "was forked from process" in str(raised)
    assert store.read(f"{prefix}/x") == b"x"


def test_first_used_in_a_forked_child_it_works(prefix: str) -> None:
    CloudObjectStore().write(f"{prefix}/x", b"x")
    program = (
        "from airloom.adapters.obstore import CloudObjectStore\nfrom tests.forked import call_in_fork\n"
        f"print(call_in_fork(lambda: CloudObjectStore().read('{prefix}/x')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("b'x'\n", "")
