#!/usr/bin/env bash
# From nothing to a restored CRM: a private PostgreSQL with a CRM of 345,000 rows is protected, damaged, and put back to the moment before,
# with proof. Needs the .NET SDK 10; installs PostgreSQL (and RabbitMQ with --broker) from apt when missing. Cleans up after itself.
#   --broker   capture, archive and worker are processes of their own, with a private RabbitMQ between them
#   --keep     leaves everything running, and says how to look around and how to stop it
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/packages.sh"

broker= keep=
for option in "$@"; do
    case $option in
        --broker) broker=1 ;;
        --keep) keep=1 ;;
        -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "quickstart.sh: unknown option '$option' (there are --broker and --keep)" >&2; exit 2 ;;
    esac
done

# Docker but no PostgreSQL: the same script runs in a container of an image with the .NET SDK 10, and leaves nothing on this machine.
if [ -z "$(postgres_bin)" ] && [ -n "${DOTNET_SDK_IMAGE:-}" ] && timeout 10 docker info >/dev/null 2>&1; then
    echo "PostgreSQL is not installed here, but Docker is: running in a container of $DOTNET_SDK_IMAGE."
    exec docker run --rm --init $([ -t 0 ] && echo -it) -v "$root:/src:ro" "$DOTNET_SDK_IMAGE" bash -c \
        'mkdir /tmp/crmbackup && tar -C /src --exclude=artifacts --exclude=.git -c . | tar -C /tmp/crmbackup -x && exec /tmp/crmbackup/deploy/quickstart.sh "$@"' - "$@"
fi
need_dotnet
need postgres ${broker:+rabbit}

# ---------------------------------------------------------------------------------------------------------------- the stage

work=$(mktemp -d /tmp/crmbackup-quickstart.XXXXXX)
chmod 711 "$work"
started=$SECONDS
pids=() postgres_pid= broker_pid= epmd_pid=

step() { printf '\n\e[1m[%3d s] %s\e[0m\n' $((SECONDS - started)) "$*" | { [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && cat || sed 's/\x1b\[[0-9;]*m//g'; }; }
show() { echo "\$ $*" | sed "s#$work/##g"; }
fail() { echo "quickstart: $*" >&2; exit 1; }

# PostgreSQL refuses to run as root.
as_postgres() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi; }

end() { # end PID [SIGNAL]: asks, waits up to 30 s, insists
    [ -n "${1:-}" ] && kill -"${2:-TERM}" "$1" 2>/dev/null || return 0
    for _ in $(seq 300); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
    kill -KILL "$1" 2>/dev/null || true
}

clean_up() {
    local code=$?
    trap - EXIT INT TERM
    if [ $code -ne 0 ]; then
        for log in "$work"/*.log; do
            [ -s "$log" ] && { echo "--- the end of ${log##*/}"; tail -n 15 "$log"; } >&2
        done
    fi
    for pid in "${pids[@]}"; do end "$pid"; done
    end "$broker_pid"
    end "$epmd_pid" KILL
    end "$postgres_pid" INT
    rm -rf "$work"
    exit $code
}
trap clean_up EXIT
trap 'exit 130' INT TERM

start_postgres() {
    local bin password port
    bin=$(postgres_bin)
    password=$(random_word)
    port=$(free_port)
    mkdir "$work/postgres"
    printf %s "$password" >"$work/postgres/password"
    [ "$(id -u)" -ne 0 ] || chown -R postgres: "$work/postgres"
    chmod -R go= "$work/postgres"
    (cd / && as_postgres "$bin/initdb" -D "$work/postgres/data" -U crm --pwfile="$work/postgres/password" -A scram-sha-256 \
        -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null)
    rm "$work/postgres/password"
    (cd / && exec_as_postgres "$bin/postgres" -D "$work/postgres/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c wal_level=logical -c max_slot_wal_keep_size=4GB -c max_wal_size=2GB) >"$work/postgres.log" 2>&1 </dev/null &
    postgres_pid=$!
    export PGHOST=127.0.0.1 PGPORT=$port PGUSER=crm PGPASSWORD=$password PGDATABASE=crm PATH="$bin:$PATH"
    for _ in $(seq 300); do pg_isready -q -d postgres && break; sleep 0.1; done
    pg_isready -q -d postgres || fail "PostgreSQL does not start"
}

exec_as_postgres() { if [ "$(id -u)" -eq 0 ]; then exec setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else exec "$@"; fi; }

# Node, distribution and name server listen on the loopback interface only.
start_rabbit() {
    local home=$work/rabbit password port
    password=$(random_word)
    port=$(free_port)
    mkdir -m 700 "$home"
    cat >"$home/rabbitmq.conf" <<END
listeners.tcp.local = 127.0.0.1:$port
default_user = crmbackup
default_pass = $password
disk_free_limit.absolute = 64MB
log.file = false
log.console = true
END
    echo '[].' >"$home/plugins"
    : >"$home/env.conf"
    export HOME_BEFORE=$HOME
    (
        export HOME=$home RABBITMQ_CONF_ENV_FILE=$home/env.conf RABBITMQ_CONFIG_FILE=$home/rabbitmq.conf \
            RABBITMQ_ENABLED_PLUGINS_FILE=$home/plugins RABBITMQ_MNESIA_BASE=$home/mnesia RABBITMQ_LOG_BASE=$home RABBITMQ_LOGS=- \
            RABBITMQ_NODENAME="crmbackup$$@localhost" RABBITMQ_DIST_PORT=$(free_port) ERL_EPMD_PORT=$(free_port) ERL_EPMD_ADDRESS=127.0.0.1 \
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
        # Started here and not by the node, which would leave it running for ever.
        epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 >"$work/epmd.log" 2>&1 </dev/null &
        echo $! >"$home/epmd.pid"
        exec "$(rabbit_program)"
    ) >"$work/rabbit.log" 2>&1 </dev/null &
    broker_pid=$!
    for _ in $(seq 600); do
        epmd_pid=$(cat "$home/epmd.pid" 2>/dev/null || true)
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
        kill -0 "$broker_pid" 2>/dev/null || fail "RabbitMQ does not start"
        sleep 0.1
    done
    # In the environment, so that no password stands in a command line.
    export CRMBACKUP__BROKER=amqp://crmbackup:$password@127.0.0.1:$port/
}

# crmbackup, said aloud. The password is in PGPASSWORD.
crmbackup() { show crmbackup "$@"; "$work/bin/crmbackup" "$@"; }

background() { # background NAME VERB…
    local name=$1
    shift
    show "crmbackup $* &"
    "$work/bin/crmbackup" "$@" >"$work/$name.log" 2>&1 </dev/null &
    pids+=($!)
}

pgbench_args=()
for script in "$root"/deploy/sample/workload/*.sql; do pgbench_args+=(-f "$script@$([ "${script##*/}" = import_leads.sql ] && echo 1 || echo 5)"); done
people_work() { pgbench -n -c 4 -j 1 -T "$1" --max-tries=10 "${pgbench_args[@]}" crm 2>&1 | sed -n 's/^number of transactions actually processed: /transactions: /p'; }

# Told by PostgreSQL itself, not by us: rows and a hash of every row's text, table by table.
truth() {
    psql -XAtq -v ON_ERROR_STOP=1 -d "$1" <<'END'
SET timezone = 'UTC';
SELECT format('SELECT %L, count(*), coalesce(sum((''x'' || left(md5(t::text), 16))::bit(64)::bigint::numeric), 0) FROM %I.%I t', relname, nspname, relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = 'public' ORDER BY relname \gexec
END
}

# Tables, types, indexes, constraints, triggers, views, functions, comments, as pg_dump sees them; crmbackup's own objects left out.
schema_of() {
    pg_dump -d "$1" --schema-only --exclude-schema=crmbackup --no-publications | sed -e '/^--/d' -e '/^\\\(un\)\?restrict /d' \
        -e '/^CREATE EVENT TRIGGER crmbackup/,/;$/d' -e '/^ALTER EVENT TRIGGER crmbackup/d' -e '/^$/d'
}

# ------------------------------------------------------------------------------------------------------------------ the play

step "Building crmbackup"
dotnet publish "$root/src/CrmBackup.Cdc.Cli" -c Release -o "$work/bin" --nologo -v q >"$work/build.log" 2>&1 || fail "the build failed"

step "A private PostgreSQL with a CRM in it"
start_postgres
createdb -T template0 crm
psql -Xq -v ON_ERROR_STOP=1 -c "SET sample.scale = '${SAMPLE_SCALE:-1}'" -f "$root/deploy/sample/schema.sql" -f "$root/deploy/sample/data.sql"
psql -Xq -c 'VACUUM ANALYZE' -c "SELECT relname AS table, n_live_tup AS rows FROM pg_stat_user_tables ORDER BY n_live_tup DESC"

if [ -n "$broker" ]; then
    step "A private RabbitMQ"
    start_rabbit
fi

source="Host=127.0.0.1;Port=$PGPORT;Database=crm;Username=crm"
vault=$work/vault
export CRMBACKUP__STATE=$work/state

step "Preparing the source and the vault"
crmbackup init --source "$source" --vault "$vault"

step "Protection begins, while four people work on the CRM"
if [ -n "$broker" ]; then
    background capture capture --source "$source"
    background archive archive --vault "$vault"
    background worker worker --vault "$vault"
else
    background run run --source "$source" --vault "$vault"
fi
people_work 8

step "Everything committed so far is on disk"
crmbackup wait --source "$source" --vault "$vault" --protected --timeout 120s
crmbackup status --vault "$vault" --source "$source"
truth crm >"$work/truth.before"
schema_of crm >"$work/schema.before"

step "The disaster: somebody forgets the WHERE"
echo "crm=> DELETE FROM contacts;   -- WHERE account_id = 4711"
disaster=$(psql -XAtq -c "DELETE FROM contacts" -c "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'")
echo "Contacts left: $(psql -XAt -c 'SELECT count(*) FROM contacts'), activities left: $(psql -XAt -c 'SELECT count(*) FROM activities')"
echo "Nobody has noticed, work goes on."
psql -Xq -v ON_ERROR_STOP=1 -c "INSERT INTO leads (company, person, source) SELECT 'After the disaster ' || i, 'Somebody', 'web' FROM generate_series(1, 500) AS i" \
    -c "UPDATE accounts SET employees = employees + 1 WHERE id % 100 = 0"
crmbackup wait --source "$source" --vault "$vault" --timeout 90s

step "What happened, and when?"
crmbackup points --vault "$vault" --around "$disaster" --min-rows 1000
lsn=$("$work/bin/crmbackup" points --vault "$vault" --around "$disaster" --min-rows 1000 --output json |
    { psql -XAt -v answer="$(cat)" <<<"SELECT t->>'lsn' FROM json_array_elements((:'answer'::json)->'transactions') t ORDER BY (t->>'rows')::bigint DESC LIMIT 1"; })

step "Back to the moment before, into a new database"
crmbackup restore --vault "$vault" --to "lsn:$lsn" --before --target "Host=127.0.0.1;Port=$PGPORT;Database=crm_restored;Username=crm" --verify

step "The proof, by PostgreSQL and pg_dump alone"
truth crm_restored >"$work/truth.after"
schema_of crm_restored >"$work/schema.after"
truth crm >"$work/truth.now"
printf '%-16s %14s %14s %14s\n' table "before" "now" "restored"
while IFS='|' read -r table rows hash; do
    restored=$(grep "^$table|" "$work/truth.after" || true)
    now=$(grep "^$table|" "$work/truth.now" | cut -d'|' -f2)
    printf '%-16s %14s %14s %14s  %s\n' "$table" "$rows" "$now" "$(cut -d'|' -f2 <<<"$restored")" \
        "$([ "$restored" = "$table|$rows|$hash" ] && echo "equal, row for row" || echo DIFFERENT)"
done <"$work/truth.before"
cmp -s "$work/truth.before" "$work/truth.after" || fail "the restored rows differ"
diff "$work/schema.before" "$work/schema.after" || fail "the restored schema differs"
echo "schema: $(wc -l <"$work/schema.before") lines of pg_dump, equal"

step "What lies in the vault"
crmbackup settle --vault "$vault" --now
(cd "$vault" && find . -type f -printf '%s %P\n' | awk '{ d = $2; if (!sub("/[^/]*$", "/", d)) d = "vault.json"; n[d]++; b[d] += $1 }
    END { for (d in n) printf "%9.1f KiB in %3d files  %s\n", b[d] / 1024, n[d], d }' | sort -k6)
crmbackup verify --vault "$vault"

step "For analysts: nothing of ours is needed to read it"
"$work/bin/crmbackup" sql --vault "$vault" >"$work/crm.sql" || fail "no views"
show "crmbackup sql --vault vault > crm.sql      # $(wc -l <"$work/crm.sql") lines: views of every table, now and at any moment"
echo "And then, wherever DuckDB is and the vault can be read:"
echo "duckdb -init crm.sql -c 'SELECT stage, count(*) AS deals, sum(amount) AS amount FROM public.opportunities GROUP BY stage ORDER BY amount DESC'"

step "Done"
if [ -n "$keep" ]; then
    cat >"$work/stop.sh" <<END
#!/bin/sh
kill ${pids[*]} 2>/dev/null
sleep 3
kill $broker_pid $epmd_pid 2>/dev/null
kill -INT $postgres_pid
sleep 2
rm -rf $work
END
    chmod 700 "$work/stop.sh"
    trap - EXIT
    echo "Left running. Look around with"
    echo "  export PGHOST=$PGHOST PGPORT=$PGPORT PGUSER=$PGUSER PGPASSWORD=$PGPASSWORD PATH=\"$work/bin:\$PATH\"; psql crm"
    echo "  crmbackup status --vault $vault --source \"$source\""
    echo "Stop it and remove everything: $work/stop.sh"
fi
