#!/bin/sh
# What the official image's entrypoint does, as far as Airloom uses it: a first start makes the database cluster, the
# superuser POSTGRES_USER with POSTGRES_PASSWORD (or what the file POSTGRES_PASSWORD_FILE holds), the database POSTGRES_DB,
# and runs /docker-entrypoint-initdb.d; every start then becomes the server. It wants no root, and drops it if it has it.
set -eu
if [ "${1#-}" != "$1" ]; then
    set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
    exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
    install -d -o postgres -g postgres -m 0700 "$PGDATA"
    chown -R postgres:postgres "$PGDATA"
    install -d -o postgres -g postgres -m 3777 /var/run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    fi
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo 'Error: Database is uninitialized and superuser password is not specified; set POSTGRES_PASSWORD.' >&2
        exit 1
    fi
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    words=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$words"
    # shellcheck disable=SC2086 # POSTGRES_INITDB_ARGS is words
    initdb -D "$PGDATA" --username="$user" --pwfile="$words" --auth-host=scram-sha-256 --auth-local=trust \
        --encoding=UTF8 ${POSTGRES_INITDB_ARGS:-}
    rm "$words"
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    # Nobody outside is answered before the scripts have run.
    pg_ctl -D "$PGDATA" -w -o "-c listen_addresses= -k /tmp" start
    if [ "$database" != postgres ]; then
        psql -h /tmp -U "$user" -d postgres -v ON_ERROR_STOP=1 -c "CREATE DATABASE \"$database\""
    fi
    export PGHOST=/tmp
    for script in /docker-entrypoint-initdb.d/*; do
        case "$script" in
            *.sh) sh "$script" ;;
            *.sql) psql -U "$user" -d "$database" -v ON_ERROR_STOP=1 -f "$script" ;;
        esac
    done
    unset PGHOST
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
sockets=/var/run/postgresql
if [ ! -w "$sockets" ]; then
    sockets=/tmp
fi
program=$1
shift
exec "$program" -c 'listen_addresses=*' -c "unix_socket_directories=$sockets" "$@"
