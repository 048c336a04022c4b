#!/bin/sh
# As the official image's: what is no program of its own is handed to minio.
set -eu
if [ "$1" != minio ]; then
    if command -v "$1" > /dev/null 2>&1; then
        exec "$@"
    fi
    set -- minio "$@"
fi
exec "$@"
