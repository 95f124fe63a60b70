#!/usr/bin/env bash
# Makes what a broker needs to carry change logs: a virtual host and three users, each allowed no more than its part.
#   definitions.sh DIR HOST[:PORT]
# writes DIR/definitions.json   for `load_definitions` in rabbitmq.conf, or `rabbitmqctl import_definitions DIR/definitions.json`
#        DIR/capture.uri, DIR/archive.uri, DIR/worker.uri   one line each, with a random password: settings `broker.uriFile`
# The passwords stand in the .uri files only; keep the folder (0700) and give each machine its own file.
set -euo pipefail
[ $# = 2 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
directory=$1 host=$2
umask 077
mkdir -p "$directory"
for file in definitions.json capture.uri archive.uri worker.uri; do
  [ ! -e "$directory/$file" ] || { echo "$directory/$file is there already: remove it for new passwords" >&2; exit 3; }
done

bytes() { printf "$(sed 's/../\\x&/g' <<<"$1")"; }
random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# RabbitMQ keeps base64(salt + SHA-256(salt + password)).
user() {
  local name=$1 password salt digest
  password=$(random 24) salt=$(random 4)
  digest=$( { bytes "$salt"; printf %s "$password"; } | sha256sum | cut -c1-64)
  echo "amqp://crmbackup-$name:$password@$host/crmbackup" > "$directory/$name.uri"
  printf '    { "name": "crmbackup-%s", "password_hash": "%s", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": [] }' \
    "$name" "$(bytes "$salt$digest" | base64 -w0)"
}

# Blocks and requests go through the default exchange; jobs and events through MassTransit's exchanges, which bear the queues' names.
log='crmbackup[.][0-9a-f]{32}[.]'
jobs="${log}(settle|sealed|failed)|CrmBackup[.]Cdc[.]Engine:.*"
permission() {
  printf '    { "user": "crmbackup-%s", "vhost": "crmbackup", "configure": "^(%s)$", "write": "^(%s)$", "read": "^(%s)$" }' "$@"
}

cat > "$directory/definitions.json" <<JSON
{
  "vhosts": [{ "name": "crmbackup" }],
  "users": [
$(user capture),
$(user archive),
$(user worker)
  ],
  "permissions": [
$(permission capture "${log}(stream|answer|requests)" "amq[.]default" "${log}requests"),
$(permission archive "${log}(stream|answer|requests)|$jobs" "amq[.]default|$jobs" "${log}(stream|answer)|$jobs"),
$(permission worker "$jobs" "$jobs" "$jobs")
  ]
}
JSON
