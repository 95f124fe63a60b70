#!/usr/bin/env bash
# Measures what is promised of speed and size, against real programs in the same run:
#   tests/bench.sh [--scale X] [--samples N] [--json FILE] [ROW...]      all rows when none is named
# Prints every sample, the machine, its load, and what other processes used. At a scale below 1, or with fewer than 3 samples, it only shows
# that the rows work. Exit code: 0, or 4 when a row misses its figure. Needs Linux; installs from apt what is missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/packages.sh"

case " $* " in *" -h "* | *" --help "*) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;; esac
need_dotnet
need postgres
# Every row is measured when none is named.
rows=
options=("$@")
for ((i = 0; i < $#; i++)); do
    case ${options[i]} in --*) i=$((i + 1)) ;; *) rows+=" ${options[i]}" ;; esac
done
case "${rows:- all} " in *" all "* | *" drain-broker "* | *" lag "*) need rabbit ;; esac
case "${rows:- all} " in *" all "* | *" restore-one "* | *" size-slow "*) need pgbackrest ;; esac

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dotnet publish "$root/src/CrmBackup.Cdc.Cli" -c Release --use-current-runtime --no-self-contained -o "$work/crmbackup" --nologo -v q >&2
dotnet build "$root/tests/CrmBackup.Cdc.Benchmarks" -c Release --nologo -v q >&2
dotnet exec "$root/artifacts/bin/CrmBackup.Cdc.Benchmarks/release/CrmBackup.Cdc.Benchmarks.dll" --crmbackup "$work/crmbackup/crmbackup" "$@"
