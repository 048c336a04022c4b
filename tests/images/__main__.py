"""`python -m tests.images build [NAME …] [--base IMAGE]`: container images, without a Docker engine.

`make images` calls it. Debian's buildah builds the Dockerfiles of `docker/` into archives below
`~/.cache/airloom/images`, which `docker load` and `ctr images import` take. It wants root and Debian. An image whose
inputs have not changed is not built again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.cluster.local.programs import ClusterError
from tests.images.builder import IMAGES, PRODUCTS, build_image, image_reference


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.images", description=__doc__)
    parser.add_argument("command", choices=["build"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(IMAGES)} [{' '.join(PRODUCTS)}]")
    parser.add_argument("--base", help="image with Python 3.11 to build on, from a registry [a Debian made here]")
    arguments = parser.parse_args(argv)
    if unknown := sorted({*arguments.names} - {*IMAGES}):
        parser.error(f"no image {', '.join(unknown)}; there are {', '.join(IMAGES)}")
    try:
        for name in arguments.names or PRODUCTS:
            started = time.monotonic()
            archive = build_image(name, arguments.base, say=lambda text: print(text, file=sys.stderr, flush=True))
            seconds, megabytes = time.monotonic() - started, archive.stat().st_size / 1e6
            print(f"{image_reference(name):38} {megabytes:6.0f} MB {seconds:6.1f} s  {archive}", flush=True)
    except ClusterError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
