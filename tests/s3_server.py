"""A real S3 server for tests: Ceph's radosgw over one monitor and one OSD in memory, from Debian's packages.

It checks keys and signatures, and honours conditions and multipart uploads. Nothing of it stays behind: its processes
die with this one, its folder goes away.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from tests.waiting import wait_until

from airloom.stages.lifeline import die_with

_PACKAGES = ("radosgw", "ceph-mon", "ceph-osd")
_CONFIGURATION = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{monitor_port}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
# no keyrings; without them the modes must be plain ones
auth cluster required = none
auth service required = none
auth client required = none
ms cluster mode = crc
ms service mode = crc
ms client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
ms mon client mode = crc
mon data = {folder}/mon
mon allow pool size one = true
mon data avail crit = 1
paxos propose interval = 0.05
paxos min wait = 0.01
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
rgw data = {folder}
rgw rados pool pg num min = 1
rgw run sync thread = false
rgw frontends = beast endpoint={address}:{port} tcp_nodelay=1
admin socket =
run dir = {folder}
crash dir = {folder}
log file = {folder}/$name.log
"""


class S3Server:
    """The server; a `with` block starts and ends it.

    Args:
        address: where it listens, of this machine.

    Attributes:
        endpoint: its address.
        access_key, secret_key: of the one user.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._address = address
        self.access_key = uuid.uuid4().hex
        self.secret_key = uuid.uuid4().hex
        self._port = _free_port()
        self.endpoint = f"http://{address}:{self._port}"
        self._folder = Path(tempfile.mkdtemp(prefix="airloom-ceph-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._gateway: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environ(self) -> dict[str, str]:
        """The variables by which any AWS client finds it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @functools.cached_property
    def client(self) -> Any:
        """A boto3 client, to arrange a test with."""
        import boto3

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def start(self) -> None:
        """Start all of it; returns when it answers."""
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        monitor_port = _free_port()
        for name in ("mon", "osd"):
            (self._folder / name).mkdir()
        self._configuration.write_text(
            _CONFIGURATION.format(
                fsid=fsid, folder=self._folder, address=self._address, port=self._port, monitor_port=monitor_port
            )
        )
        monitors = str(self._folder / "monmap")
        self._run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{monitor_port}]", "--fsid", fsid, monitors)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monitors)
        self._processes.append(self._spawn("ceph-mon", "-i", "a", "-f"))
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._run("ceph", "osd", "new", osd, "0")
        self._processes.append(self._spawn("ceph-osd", "-i", "0", "-f"))
        user = ("user", "create", "--uid=tests", "--display-name=tests")
        self._run("radosgw-admin", *user, f"--access-key={self.access_key}", f"--secret-key={self.secret_key}")
        self._start_gateway()

    def stop(self) -> None:
        """End all of it, and leave nothing."""
        for process in (*filter(None, [self._gateway]), *reversed(self._processes)):
            process.kill()
            process.wait()
        shutil.rmtree(self._folder)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside the block nothing listens at the address; then it is back, with all that it had."""
        assert self._gateway is not None
        self._gateway.terminate()  # killed, it would be waited for by the next one for half a minute
        self._gateway.wait()
        try:
            yield
        finally:
            self._start_gateway()

    @property
    def _configuration(self) -> Path:
        return self._folder / "ceph.conf"

    def _start_gateway(self) -> None:
        gateway = self._gateway = self._spawn("radosgw", "-n", "client.rgw", "-f")

        def answers() -> bool:
            assert gateway.poll() is None, f"radosgw ended: {self._tell()}"
            with socket.socket() as probe:
                return probe.connect_ex((self._address, self._port)) == 0

        wait_until(answers, "radosgw listens")

    def _run(self, program: str, *arguments: str) -> None:
        process = self._spawn(program, *arguments)
        try:
            status = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = -signal.SIGKILL
        assert status == 0, f"{program} ended with {status}: {self._tell()}"

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / "output").open("ab") as output:
            return subprocess.Popen(
                [program, "-c", str(self._configuration), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=functools.partial(die_with, os.getpid()),
            )

    def _tell(self) -> str:
        return (self._folder / "output").read_text(errors="replace")[-2000:]


def require_packages() -> None:
    """Install the server's Debian packages where they are missing; skip the test where that cannot be done."""
    if all(shutil.which(program) for program in (*_PACKAGES, "radosgw-admin", "monmaptool", "ceph")):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip(f"no S3 server: install Debian's {', '.join(_PACKAGES)}, or run the tests as root on Debian")
    for command in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *_PACKAGES]):
        done = subprocess.run(
            ["apt-get", *command],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"no S3 server: apt-get {command[0]} failed: {done.stderr.decode(errors='replace')[-300:]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
