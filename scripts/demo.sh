#!/usr/bin/env bash
# The tour of `make demo`: both pipelines on the shipped samples, into a fresh database.
set -euo pipefail
cd "$(dirname "$0")/.."

fleetline="${1:-${CARGO_TARGET_DIR:-target}/debug/fleetline}"
dev=.dev/demo
db="$dev/fleetline.db"
rm -rf "$dev"
mkdir -p "$dev"

# The demo shows the offline analyser, whatever the shell has configured for other work.
unset OPENAI_API_KEY OPENAI_BASE_URL OPENAI_MODEL

bold=$'\e[1m' plain=$'\e[0m'
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || bold='' plain=''

show() {
  printf '\n%s$ fleetline %s%s\n' "$bold" "$*" "$plain"
  "$fleetline" "$@"
}

show run samples/airline-order.xml --db "$db" --out "$dev/order.jsonl"
show facts latest --limit 5 --db "$db"

show run samples/service.log --db "$db" --out "$dev/log.jsonl"
show results latest --limit 5 --db "$db"

printf '\n%sThe same file again: every result is there already, nothing is paid twice.%s\n' "$bold" "$plain"
show run samples/airline-order.xml --db "$db"

printf '\nResults: %s and %s\n' "$dev/order.jsonl" "$dev/log.jsonl"
