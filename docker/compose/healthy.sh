#!/bin/bash
# healthy.sh HOST:PORT/PATH [TEXT]: does that address answer with 200, and with TEXT? docker-compose.yaml's health checks
# call it where an image has neither curl nor wget; a Python would take twenty times as long to start.
set -u
server=${1%%/*}
exec 3<> "/dev/tcp/${server%:*}/${server##*:}" || exit 1
printf 'GET /%s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n' "${1#*/}" "$server" >&3
answer=$(cat <&3)
case "$answer" in
    "HTTP/1."?" 200"*"${2-}"*) ;;
    *)
        echo "${answer:0:500}"
        exit 1
        ;;
esac
