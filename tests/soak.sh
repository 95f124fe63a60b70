#!/usr/bin/env bash
# Looks for what short runs do not find, until the time is up:
#   tests/soak.sh --minutes N                the randomized oracle on real servers, with new seeds
#   tests/soak.sh --simulate [--minutes N]   the simulator, with new seeds (default: 10 minutes)
#   tests/soak.sh --fuzz [block|pgoutput|commit|segment] [--minutes N] [--seed S]
#                                            mutations of kept inputs for each decoder, or one, from seed S on (default: 30 minutes each)
# The last line says seeds, points compared and differences; the exit code is 0 only when nothing differed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/packages.sh"

simulate=
fuzz=
seed=
minutes=
usage() { sed -n '2,7s/^# //p' "$0"; }
while [ $# -gt 0 ]; do
    case $1 in
        --simulate) simulate=1 ;;
        --fuzz)
            fuzz="block pgoutput commit segment"
            case ${2:-} in block | pgoutput | commit | segment) fuzz=$2; shift ;; esac
            ;;
        --minutes) minutes=${2:-}; shift ;;
        --seed) seed=${2:-}; shift ;;
        -h | --help) usage; exit 0 ;;
        *) echo "tests/soak.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
[ -n "$simulate" ] && minutes=${minutes:-10}
[ -n "$fuzz" ] && minutes=${minutes:-30} seed=${seed:-$(($(date +%s) % 20000 * 100000))}
case $minutes${seed:-0} in
    "${seed:-0}" | *[!0-9]*) echo "tests/soak.sh: --minutes and --seed take a number" >&2; usage >&2; exit 2 ;;
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

if [ -n "$fuzz" ]; then
    dotnet build tests/CrmBackup.Cdc.Tests -c Release -v q >&2 || exit 1
    current=$(mktemp)
    trap 'rm -f "$current"' EXIT
    bad=0
    for target in $fuzz; do
        dotnet exec artifacts/bin/CrmBackup.Cdc.Tests/release/CrmBackup.Cdc.Tests.dll fuzz "$target" "$minutes" "$seed" "$current"
        ended=$?
        [ "$ended" -eq 0 ] || bad=1
        # 0 and 1 are its own words; anything else has ended the process, and the input that did it is kept by us.
        if [ "$ended" -gt 1 ]; then
            kept=tests/CrmBackup.Cdc.Tests/Hostile/corpus/$target/failed-$(sha256sum "$current" | cut -c1-12)
            cp "$current" "$kept"
            echo "fuzz $target: the process ended with $ended; its last input is kept as $kept"
        fi
    done
    exit "$bad"
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
