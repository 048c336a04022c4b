#!/opt/airloom/bin/python
"""`run_in_container.py -m airloom.stages STAGE …`: one stage in a container of its own; it ends as the stage ends.

docker/compose/containers.yaml has Airflow's tasks start it as AIRLOOM_STAGE_PYTHON. It asks the Docker engine, at the
socket that file mounts, for a container of the stages' image with the mounts, network and environment that its own
container has, relays what the stage writes, and takes the container away. It is no runtime of its own: to the task it
is a process. The stage's container shares this one's process ids, so that it ends, whatever happens, with this one.
"""

import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import sys
from typing import Any, BinaryIO

_SOCKET = "/var/run/docker.sock"
_API = "/v1.41"
_GRACE_SECONDS = 5
_PR_SET_PDEATHSIG = 1
_LOST = 75
"""As a stage says that trying again may help."""
_LIMITS = ("AIRLOOM_STAGES_IMAGE", "AIRLOOM_STAGES_CPUS", "AIRLOOM_STAGES_MEMORY")
_OWN = {*_LIMITS, "AIRLOOM_STAGE_LAUNCHER", "HOME", "HOSTNAME", "PATH"}
"""Variables that mean nothing in another container."""


class EngineError(Exception):
    """What the engine said."""


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(_SOCKET)


def ask(method: str, path: str, body: object = None) -> http.client.HTTPResponse:
    """The engine's answer, which may still be coming.

    Errors:
        EngineError: it refuses, or is not there.
    """
    connection = _Connection("docker")
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, _API + path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
    except OSError as error:
        raise EngineError(f"the Docker engine does not answer at {_SOCKET}: {error}") from error
    if answer.status >= 400:
        raise EngineError(f"the Docker engine refuses {method} {path}: {answer.read().decode(errors='replace')}")
    return answer


def read(method: str, path: str, body: object = None) -> Any:
    """The same, as JSON."""
    return json.loads(ask(method, path, body).read() or b"null")


def describe(own: dict[str, Any], arguments: list[str], environ: dict[str, str]) -> dict[str, Any]:
    """What the engine is asked for.

    Args:
        own: this container, as the engine describes it.
        arguments: the stage's.
        environ: this process's environment.
    """
    image, cpus, memory = (environ[name] for name in _LIMITS)
    mounts = [
        {
            "Type": mount["Type"],
            "Source": mount.get("Name") or mount["Source"],
            "Target": mount["Destination"],
            "ReadOnly": not mount["RW"],
        }
        for mount in own["Mounts"]
        if mount["Destination"] != _SOCKET
    ]
    [network] = own["NetworkSettings"]["Networks"]
    return {
        "Image": image,
        "Cmd": arguments,
        "Env": [f"{name}={value}" for name, value in environ.items() if name not in _OWN],
        "Labels": {"io.airloom.stage": arguments[0]},
        "User": own["Config"]["User"],
        "WorkingDir": own["Config"]["WorkingDir"],
        "HostConfig": {
            "Mounts": mounts,
            "NetworkMode": network,
            "PidMode": f"container:{own['Id']}",
            "AutoRemove": True,  # also where nobody is left here to take it away
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": ""},
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "NanoCpus": int(float(cpus) * 1e9),
            "Memory": in_bytes(memory),
        },
    }


def in_bytes(text: str) -> int:
    """`1500m` or `4g`, as compose takes it."""
    number, unit = text.lower().removesuffix("b").rstrip("kmg"), text.lower().removesuffix("b")[-1]
    return int(float(number) * 1024 ** {"k": 1, "m": 2, "g": 3}.get(unit, 0))


def relay(stream: http.client.HTTPResponse, output: BinaryIO) -> None:
    """Pass on what the stage writes: frames of a head of eight bytes, the last four of which say how long it is."""
    while len(head := stream.read(8)) == 8:
        output.write(stream.read(int.from_bytes(head[4:], "big")))
        output.flush()


def run(arguments: list[str]) -> int:
    """Run a stage to its end; gives its exit status.

    Errors:
        EngineError: as `ask`.
    """
    own = read("GET", f"/containers/{socket.gethostname()}/json")
    made = read("POST", "/containers/create", describe(own, arguments, dict(os.environ)))["Id"]
    print(f"stage {arguments[0]} runs in the container {made[:12]}", flush=True)
    try:
        # Both are asked before it starts: it is gone, of itself, as soon as it has ended.
        written = ask("POST", f"/containers/{made}/attach?stream=1&stdout=1&stderr=1")
        ended = ask("POST", f"/containers/{made}/wait?condition=removed")
        read("POST", f"/containers/{made}/start")
        relay(written, sys.stdout.buffer)
        status = int(json.loads(ended.read())["StatusCode"])
        if status == 128 + signal.SIGKILL:
            print(
                "the stage was killed: by hand, or it wanted more memory than AIRLOOM_STAGES_MEMORY gives", flush=True
            )
        return status
    except SystemExit:
        with contextlib.suppress(EngineError):
            ask("POST", f"/containers/{made}/stop?t={_GRACE_SECONDS - 1}")
        raise
    finally:
        with contextlib.suppress(EngineError):
            ask("DELETE", f"/containers/{made}?force=1&v=1")


def main() -> int:
    """As a stage: its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(os.environ["AIRLOOM_STAGE_LAUNCHER"]):
        return _LOST
    if sys.argv[1:3] != ["-m", "airloom.stages"]:
        print(f"{sys.argv[0]} runs `-m airloom.stages STAGE …`, and nothing else", file=sys.stderr)
        return 2
    try:
        return run(sys.argv[3:])
    except EngineError as error:
        print(error, file=sys.stderr)
        return _LOST


if __name__ == "__main__":
    sys.exit(main())
