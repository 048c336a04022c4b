#!/bin/sh
# Makes the secrets that docker-compose.yaml asks for, in `.env` beside it, which only its owner can read:
#   sh docker/compose/secrets.sh
# What is there already is kept: a second call changes nothing, and adds what a later version asks for. It needs no more
# than a POSIX shell, and names no secret on the screen.
set -eu
umask 077
file=$(dirname "$0")/../../.env
touch "$file"
chmod 600 "$file"
made=0
add() {
    if ! grep -q "^$1=..*" "$file"; then
        printf '%s=%s\n' "$1" "$2" >> "$file"
        made=$((made + 1))
    fi
}
random() { # hexadecimal, so that it needs no quoting anywhere
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}
# A line that lacks its end would swallow the next.
if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then
    echo >> "$file"
fi
for name in ADMIN_PASSWORD API_SECRET_KEY JWT_SECRET S3_SECRET_KEY POSTGRES_PASSWORD AIRFLOW_DB_PASSWORD \
    MLFLOW_DB_PASSWORD MARQUEZ_DB_PASSWORD GRAFANA_PASSWORD; do
    add "AIRLOOM_$name" "$(random)"
done
add AIRLOOM_FERNET_KEY "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
echo "$made secrets made in $file"
# No secret, but as new on each server: who may speak to the Docker engine, for docker/compose/containers.yaml.
socket=$(sed -n 's/^AIRLOOM_DOCKER_SOCKET=//p' "$file" | tail -n 1)
socket=${socket:-/var/run/docker.sock}
if [ -S "$socket" ]; then
    add AIRLOOM_DOCKER_GROUP "$(stat -c %g "$socket")"
fi
