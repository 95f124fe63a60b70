#!/usr/bin/env bash
# Looks for what short runs do not find:
#   tests/soak.sh --minutes N                the randomized oracle on real servers, with new seeds, until the time is up
#   tests/soak.sh --simulate [--minutes N]   the simulator, with new seeds (default: 10 minutes)
#   tests/soak.sh --kill [N] [--seed S] [--freeze SECONDS]
#                                            kill -9 and SIGSTOP of real processes under load, N of them over each transport (default: 200),
#                                            each stopped for 5 s at most; --seed repeats the choices
#   tests/soak.sh --fuzz [block|pgoutput|commit|segment] [--minutes N] [--seed S]
#                                            mutations of kept inputs for each decoder, or one, from seed S on (default: 30 minutes each)
# The last line says seeds, points compared and differences; the exit code is 0 only when nothing differed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/packages.sh"

simulate=
fuzz=
kills=
seed=
minutes=
freeze=5
usage() { sed -n '2,10s/^# //p' "$0"; }
is_number() { [[ $1 =~ ^[0-9]+$ ]]; }
while [ $# -gt 0 ]; do
    case $1 in
        --simulate) simulate=1 ;;
        --fuzz)
            fuzz="block pgoutput commit segment"
            case ${2:-} in block | pgoutput | commit | segment) fuzz=$2; shift ;; esac
            ;;
        --kill)
            kills=200
            if is_number "${2:-}"; then kills=$2; shift; fi
            ;;
        --minutes) minutes=${2:-}; shift ;;
        --seed) seed=${2:-}; shift ;;
        --freeze) freeze=${2:-}; shift ;;
        -h | --help) usage; exit 0 ;;
        *) echo "tests/soak.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
[ -n "$simulate" ] && minutes=${minutes:-10}
[ -n "$fuzz" ] && minutes=${minutes:-30} seed=${seed:-$(($(date +%s) % 20000 * 100000))}
[ -n "$kills" ] && minutes=0 seed=${seed:-$((RANDOM * 32768 + RANDOM))}
if ! is_number "$minutes" || ! is_number "${seed:-0}" || ! is_number "$freeze"; then
    echo "tests/soak.sh: --minutes, --seed and --freeze take a number" >&2
    usage >&2
    exit 2
fi

need_dotnet
cd "$root"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1

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

until=$(($(date +%s) + minutes * 60))
timeout 10 docker info >/dev/null 2>&1 || need postgres rabbit || exit
dotnet build tests/CrmBackup.Cdc.EndToEnd -v q >&2 || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# run_class CLASS: what it said is in $log; what failed is shown.
run_class() {
    dotnet test tests/CrmBackup.Cdc.EndToEnd --no-build --filter "FullyQualifiedName~$1" --logger "console;verbosity=detailed" >"$log" 2>&1 ||
        { grep -A 40 'Error Message' "$log"; return 1; }
}

if [ -n "$kills" ]; then
    echo "seed $seed: $kills kills over each transport, each stopped for $freeze s at most"
    failed=0
    CRMBACKUP_TESTS_SEED=$seed CRMBACKUP_TESTS_KILLS=$kills CRMBACKUP_TESTS_FREEZE=$freeze run_class KillTests || failed=1
    # kills seed N Transport: K kills (kind n, …), P points compared, D differences
    lines=$(grep -o 'kills seed .* differences' "$log" | sort -u)
    echo "$lines"
    sum() { sed -n "s/.* \([0-9]*\) $1.*/\1/p" <<<"$lines" | awk '{ n += $1 } END { print n + 0 }'; }
    echo "seed $seed: $(sum 'kills (') kills, $(sum 'points compared') points compared, $(sum differences) differences, $failed runs failed"
    [ "$failed" -eq 0 ] && [ -n "$lines" ]
    exit
fi

seeds=0 equal=0 refused=0 wrong=0 failed=0
while [ "$(date +%s)" -lt "$until" ]; do
    seed=$((RANDOM * 32768 + RANDOM))
    CRMBACKUP_TESTS_SEED=$seed run_class OracleTests || { failed=$((failed + 1)); echo "seed $seed failed"; }
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
