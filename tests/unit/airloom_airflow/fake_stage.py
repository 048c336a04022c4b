"""A stand-in for the stages' Python: does what it is instructed, and answers as the protocol wants it.

Started as `<this> -m airloom.stages <stage> [--context FILE] --pointer FILE`. Its instructions are a training's
parameter `params`, or the file `instructions.json` in the pipeline's folder of a local store, or else whatever the run
was started with. `behaviour.<stage>` is one of
`permanent`, `transient`, `lost`, `hang` (tells its process id in `pid_file` and waits), `memory` (takes
`megabytes`), `lines` (writes so many numbered lines at once), `wait` (writes numbered lines until `gate_file` is
there), `silent` (ends without an answer) and `forged` (answers with a digest that its result has not); else it succeeds
with `facts.<stage>` and `links.<stage>`. `writes.<stage>` names a variable whose value it writes, masking nothing, as
native code would. `errors.<stage>` is the name of a failure's error. What it was told goes to `told_file`. Its
result, and the file that it waits for, may lie in a bucket that anybody may read and write, at `AWS_ENDPOINT_URL`.
"""

import hashlib
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

EXITS = {"permanent": 65, "transient": 75}


def run_folder(run_id: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", run_id).lstrip(".")
    return plain if plain == run_id else f"{plain[:120]}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def find_object(uri: str) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return f"{os.environ['AWS_ENDPOINT_URL']}/{bucket}/{quote(key)}"


def read(uri: str) -> bytes | None:
    """None: it is not there."""
    if not uri.startswith("s3:"):
        path = Path(unquote(urlsplit(uri).path))
        return path.read_bytes() if path.exists() else None
    try:
        with urlopen(find_object(uri)) as answer:
            return answer.read()
    except HTTPError as error:
        if error.code != 404:
            raise
        return None


def write(uri: str, content: bytes) -> None:
    if not uri.startswith("s3:"):
        path = Path(unquote(urlsplit(uri).path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return
    with urlopen(Request(find_object(uri), data=content, method="PUT")):
        pass


def find_instructions(context: dict) -> dict:
    given = context.get("params", {})
    if "params" in given:
        return given["params"]
    uri = f"{context['pipeline_uri']}/instructions.json"
    lying = None if uri.startswith("s3:") else read(uri)
    return json.loads(lying) if lying else given


def write_variable(name: str | None) -> None:
    if name:
        print(f"{name} is {os.environ[name]}")


def main(argv: list[str]) -> int:
    stage = argv[argv.index("airloom.stages") + 1]
    told = Path(argv[argv.index("--context") + 1]).read_text() if "--context" in argv else None
    context = json.loads(told or os.environ["AIRLOOM_STAGE_CONTEXT"])
    params = find_instructions(context)
    behaviour = params.get("behaviour", {}).get(stage, "succeed")
    print(f"fake {stage}: {behaviour}")
    write_variable(params.get("writes", {}).get(stage))
    if "told_file" in params:
        Path(params["told_file"]).write_text(json.dumps({"context": context, "environ": sorted(os.environ)}))
    if behaviour == "lost":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "hang":
        Path(params["pid_file"]).write_text(str(os.getpid()))
        while True:
            signal.pause()
    if behaviour == "memory":
        print(len(b"x" * (params["megabytes"] << 20)), "bytes taken")
    number = 0
    while behaviour == "wait" and read(params["gate_file"]) is None:
        print(f"line {number}", flush=True)
        number += 1
        time.sleep(0.05)
    if behaviour == "lines":
        print("".join(f"line {number}\n" for number in range(params["lines"])), end="", flush=True)
    if behaviour == "silent":
        return 0
    family = behaviour if behaviour in EXITS else None
    message = f"{stage} failed for a {behaviour} reason" if family else ""
    error = params.get("errors", {}).get(stage, "Fake")
    result = {key: context[key] for key in ("protocol", "team", "pipeline", "stage", "run_id", "attempt")} | {
        "status": "failed" if family else "succeeded",
        "failure": {"family": family, "error": error, "message": message} if family else None,
        "facts": params.get("facts", {}).get(stage, {}),
        "links": params.get("links", {}).get(stage, {}),
        "started_at": "2026-01-01T00:00:00+00:00",
        "ended_at": "2026-01-01T00:00:00+00:00",
    }
    uri = f"{context['pipeline_uri']}/runs/{run_folder(context['run_id'])}/{stage}/result.json"
    text = json.dumps(result).encode()
    earlier = read(uri)
    if earlier is not None and json.loads(earlier)["attempt"] > context["attempt"]:
        return EXITS["transient"]
    write(uri, text)
    if behaviour == "forged":
        text += b" "
    pointer = {
        "protocol": context["protocol"],
        "result_uri": uri,
        "digest": f"sha256:{hashlib.sha256(text).hexdigest()}",
        "status": result["status"],
        "family": family,
        "message": message,
    }
    Path(argv[argv.index("--pointer") + 1]).write_text(json.dumps(pointer))
    status = EXITS.get(behaviour, 0)
    if token := os.environ.get("AIRLOOM_POD_UID"):
        told = {"status": status, "pointer": json.dumps(pointer)}
        print(f"::airloom {token} end {stage} {json.dumps(told)}", flush=True)
    return status


if __name__ == "__main__":
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    sys.exit(main(sys.argv))
