# Sourced by quickstart.sh, tests/run.sh and tests/bench.sh: finds PostgreSQL and RabbitMQ on this machine, and installs from apt what is missing.
# Nothing that is installed here is started, now or at the next boot; what was installed before is left alone.

# The folder of the newest installed PostgreSQL server, 14 or later; empty when there is none.
postgres_bin() {
    local bin
    for bin in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -rn); do
        if [ -x "$bin/initdb" ] && [ -x "$bin/pg_dump" ] && [ -x "$bin/pgbench" ]; then
            echo "$bin"
            return
        fi
    done
}

rabbit_program() {
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && command -v epmd >/dev/null && echo /usr/lib/rabbitmq/bin/rabbitmq-server
}

# The packages that are missing for: postgres [rabbit] [pgbackrest]
missing_packages() {
    local want
    for want in "$@"; do
        case $want in
            postgres) [ -n "$(postgres_bin)" ] || echo postgresql ;;
            rabbit) [ -n "$(rabbit_program)" ] || echo rabbitmq-server ;;
            pgbackrest) command -v pgbackrest >/dev/null || echo pgbackrest ;;
        esac
    done
}

# install_packages PACKAGE…: as root, by apt, without starting anything.
install_packages() (
    set -e
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d
    cluster=/etc/postgresql-common/createcluster.d/crmbackup.conf
    before=$(mktemp)
    trap 'rm -f "$cluster" "$before"; [ -z "${ours:-}" ] || rm -f "$policy"' EXIT
    # No service starts while packages are configured, and no cluster "main" is made.
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        ours=1
    fi
    mkdir -p "${cluster%/*}"
    echo 'create_main_cluster = false' >"$cluster"
    enabled_units | sort >"$before"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    # Packages enable their services for the next boot: not these.
    if command -v systemctl >/dev/null; then
        for unit in $(enabled_units | sort | comm -13 "$before" -); do
            systemctl --quiet disable "$unit" 2>/dev/null || echo "could not disable $unit" >&2
        done
    fi
)

enabled_units() {
    ! command -v systemctl >/dev/null || systemctl list-unit-files --no-legend --state=enabled 2>/dev/null |
        awk '$1 ~ /^(postgresql|rabbitmq-server|epmd)/ { print $1 }'
}

# Says what is missing and installs it; without root prints the line that does it, and ends with 3.
need() {
    local packages
    packages=$(missing_packages "$@" | tr '\n' ' ' | sed 's/ $//')
    [ -n "$packages" ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "$packages: not installed, and there is no apt here; install a PostgreSQL server (14 or later)${2:+ and RabbitMQ} and run this again" >&2
        exit 3
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "$packages: not installed; run this, or run me as root:" >&2
        echo "  sudo apt-get install --no-install-recommends $packages" >&2
        exit 3
    fi
    echo "Not installed here: $packages. Installing from apt; no service is started."
    install_packages $packages
}

need_dotnet() {
    if ! dotnet --list-sdks 2>/dev/null | grep -q '^10\.'; then
        echo "The .NET SDK 10 is not installed (https://dotnet.microsoft.com/download)." >&2
        exit 3
    fi
}

# A port of 127.0.0.1 on which nobody listens now.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

random_word() {
    head -c 18 /dev/urandom | od -An -tx1 | tr -d ' \n'
}
