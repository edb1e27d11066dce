#!/usr/bin/env bash
# Private PostgreSQL, Redis and RabbitMQ for development and tests, on free high ports.
#
#   scripts/services.sh up [DIR]             start all three in parallel; prints their URLs
#   scripts/services.sh down [DIR]           stop them and remove their data
#   scripts/services.sh env [DIR]            the URLs as shell exports
#   scripts/services.sh with [DIR] -- CMD    start, run CMD with the URLs in its environment, stop
#   scripts/services.sh start|stop|kill NAME DIR   one of: postgres redis rabbitmq (kill = SIGKILL)
#   scripts/services.sh certificates DIR      only what FLEETLINE_TLS=1 makes: DIR/tls
#   scripts/services.sh rabbitmqctl DIR ARGS  rabbitmqctl of that broker
#
# DIR is .dev unless given. A URL that is set already (FLEETLINE_POSTGRES__URL, FLEETLINE_REDIS__URL,
# FLEETLINE_RABBITMQ__URL, with FLEETLINE_RABBITMQ__MANAGEMENT_URL) names an existing server: it is
# used, and nothing is started in its place. A server started again keeps its port and its data.
# FLEETLINE_TLS=1: they speak TLS, with certificates of an authority made for it (DIR/tls/ca.pem).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
names=(postgres redis rabbitmq)

# shellcheck source=services/common.sh
source "$here/services/common.sh"
# shellcheck source=services/tls.sh
source "$here/services/tls.sh"
for name in "${names[@]}"; do source "$here/services/$name.sh"; done

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

is_given() {
  local variable
  variable="$("$1_url_variable")"
  [ -n "${!variable:-}" ] && [ "${!variable}" != none ]
}

up() {
  local dir="$1" name pids=() failed=0
  install_missing
  tls_make "$dir"
  for name in "${names[@]}"; do
    is_given "$name" && continue
    start_one "$name" "$dir" &
    pids+=($!)
  done
  for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid" || failed=1; done
  [ "$failed" -eq 0 ] || { echo "Not all servers started; see the logs under $dir." >&2; return 1; }
}

down() {
  local dir="$1" name
  [ -d "$dir" ] || return 0
  for name in "${names[@]}"; do stop_one "$name" "$dir" & done
  wait
  for name in "${names[@]}"; do remove_data "$name" "$dir"; done
  rm -rf "$dir/tls"
  # Only what is empty: the folder may be the user's own.
  rmdir "$dir" 2>/dev/null || true
}

env_of() {
  local dir="$1" name
  for name in "${names[@]}"; do is_given "$name" || "$name"_env "$dir/$name"; done
}

with() {
  local dir="$1"
  shift
  # shellcheck disable=SC2064
  trap "down '$dir'" EXIT
  up "$dir"
  eval "$(env_of "$dir")"
  "$@"
}

absolute() { mkdir -p "$1" && (cd "$1" && pwd); }

case "${1:-}" in
  up) dir="$(absolute "${2:-.dev}")"; up "$dir"; env_of "$dir" ;;
  down) down "$(absolute "${2:-.dev}")" ;;
  env) env_of "$(absolute "${2:-.dev}")" ;;
  with)
    shift
    dir=.dev
    [ "${1:-}" = -- ] || { dir="$1"; shift; }
    [ "${1:-}" = -- ] && shift
    with "$(absolute "$dir")" "$@"
    ;;
  start) install_missing; start_one "$2" "$(absolute "$3")" ;;
  start-locked) start_locked "$2" "$3" ;;
  stop) stop_one "$2" "$(absolute "$3")" ;;
  kill) kill_one "$2" "$(absolute "$3")" ;;
  certificates) FLEETLINE_TLS=1 tls_make "$(absolute "$2")" ;;
  rabbitmqctl) dir="$(absolute "$2")/rabbitmq"; shift 2; rabbitmq_ctl "$dir" "$@" ;;
  -h | --help | help | "") usage ;;
  *) usage >&2; exit 2 ;;
esac
