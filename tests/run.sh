#!/usr/bin/env bash
# Passes all tests on a fresh Debian or Ubuntu with the .NET SDK 10: installs PostgreSQL and RabbitMQ when neither they nor Docker are there.
# The last line is "N passed, N failed"; the exit code is 0 only when nothing failed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/packages.sh"

# The long ones (kills under load, every moment twice) run with --full.
full=
case "${1:-}" in
    "") ;;
    --full) full=1 ;;
    -h | --help) sed -n '2,3s/^# //p' "$0"; exit 0 ;;
    *) echo "tests/run.sh: unknown option '$1'; there is --full" >&2; exit 2 ;;
esac

need_dotnet
if ! timeout 10 docker info >/dev/null 2>&1; then
    need postgres rabbit || exit
fi

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
cd "$root"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1

if ! dotnet build CrmBackup.Cdc.sln -v q; then
    echo "the build failed"
    echo "0 passed, 1 failed"
    exit 1
fi
[ -n "$full" ] || set -- --filter "Run!=Full"
[ -n "$full" ] && shift
CRMBACKUP_TESTS_FULL=$full dotnet test CrmBackup.Cdc.sln --no-build -m:1 "$@" --logger trx --logger "console;verbosity=normal" --results-directory "$results"
ended=$?

# One trx per test project.
count() { cat "$results"/*.trx 2>/dev/null | grep -o '<Counters [^>]*>' | grep -o " $1=\"[0-9]*\"" | tr -dc '0-9\n' | awk '{ n += $1 } END { print n + 0 }'; }
passed=$(count passed)
failed=$(count failed)
skipped=$(($(count total) - $(count executed)))
[ "$skipped" -eq 0 ] || echo "$skipped not run"
# A test process that ended before its time has no failed test, and still the run failed.
[ "$ended" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
[ "$passed" -gt 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
