#!/bin/sh
# Puts Airloom's own dists below /airloom, apart from the packages: the layer that changes. The final image lays it over
# /opt/airloom. Each Dockerfile runs it after install-packages.sh.
#   install-airloom.sh FOLDER…
set -eu
/build/uv/bin/uv pip install --quiet --no-deps --python /opt/airloom/bin/python --prefix /airloom "$@"
sed -i /uv_cache.json/d /airloom/lib/python3.11/site-packages/*.dist-info/RECORD
rm -f /airloom/lib/python3.11/site-packages/*.dist-info/uv_cache.json
PYTHONHASHSEED=0 /opt/airloom/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
    -s /airloom -p /opt/airloom /airloom/lib
echo 'airloom:x:65532:65532::/tmp:/usr/sbin/nologin' >> /etc/passwd
