#!/usr/bin/env bash
# Looks for what short runs do not find, until the time is up:
#   tests/soak.sh --minutes N                the randomized oracle on real servers, with new seeds
#   tests/soak.sh --simulate [--minutes N]   the simulator, with new seeds (default: 10 minutes)
# The last line says seeds, points compared and differences; the exit code is 0 only when nothing differed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/packages.sh"

simulate=
minutes=
usage() { sed -n '2,5s/^# //p' "$0"; }
while [ $# -gt 0 ]; do
    case $1 in
        --simulate) simulate=1 ;;
        --minutes) minutes=${2:-}; shift ;;
        -h | --help) usage; exit 0 ;;
        *) echo "tests/soak.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
[ -n "$simulate" ] && minutes=${minutes:-10}
case $minutes in
    '' | *[!0-9]*) echo "tests/soak.sh: --minutes takes a number" >&2; usage >&2; exit 2 ;;
esac

need_dotnet
cd "$root"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
until=$(($(date +%s) + minutes * 60))

if [ -n "$simulate" ]; then
    dotnet build tests/CrmBackup.Cdc.Tests -c Release -v q >&2 || exit 1
    # Far from the seeds of the default run, and another part each time.
    first=$((100000 + $(date +%s) % 20000 * 100000))
    exec dotnet exec artifacts/bin/CrmBackup.Cdc.Tests/release/CrmBackup.Cdc.Tests.dll simulate "$first..$((first + 99999999))" None "$minutes"
fi

timeout 10 docker info >/dev/null 2>&1 || need postgres rabbit || exit
dotnet build tests/CrmBackup.Cdc.EndToEnd -v q >&2 || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
seeds=0 equal=0 refused=0 wrong=0 failed=0
while [ "$(date +%s)" -lt "$until" ]; do
    seed=$((RANDOM * 32768 + RANDOM))
    CRMBACKUP_TESTS_SEED=$seed dotnet test tests/CrmBackup.Cdc.EndToEnd --no-build --filter FullyQualifiedName~OracleTests \
        --logger "console;verbosity=detailed" >"$log" 2>&1 || { failed=$((failed + 1)); echo "seed $seed failed"; grep -A 20 'Error Message' "$log"; }
    # oracle seed N Transport: E points equal (…), R refused, W wrong
    while read -r line; do
        echo "$line"
        equal=$((equal + $(sed -n 's/.*: \([0-9]*\) points equal.*/\1/p' <<<"$line")))
        refused=$((refused + $(sed -n 's/.*, \([0-9]*\) refused.*/\1/p' <<<"$line")))
        wrong=$((wrong + $(sed -n 's/.*, \([0-9]*\) wrong.*/\1/p' <<<"$line")))
    done < <(grep -o 'oracle seed .* wrong' "$log" | sort -u)
    seeds=$((seeds + 1))
done
echo "$seeds seeds, $((equal + refused + wrong)) points compared ($equal equal, $refused refused), $wrong differences, $failed runs failed"
[ "$wrong" -eq 0 ] && [ "$failed" -eq 0 ] && [ "$seeds" -gt 0 ]
