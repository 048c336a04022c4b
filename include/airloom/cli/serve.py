"""`airloom serve`: the inference gateway, in the foreground."""

from __future__ import annotations

import argparse
import logging
import os

from airloom.settings import load_settings
from airloom.telemetry import switch_off


def run(arguments: list[str]) -> int:
    """Serve champions until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="airloom serve", description="Serve the registry's champions by the Open Inference Protocol v2."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [%(default)s]")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on [%(default)s]")
    options = parser.parse_args(arguments)
    switch_off(os.environ)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a request is small: threads cost it more than they give
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("airloom").setLevel(logging.INFO)

    from airloom.serving.gateway import serve

    serve(load_settings(), options.host, options.port)
    return 0
