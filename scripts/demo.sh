#!/usr/bin/env bash
# The tour of `make demo`: both pipelines on the shipped samples, into a fresh database.
# Usage: scripts/demo.sh [FLEETLINE-BINARY]
set -euo pipefail
cd "$(dirname "$0")/.."

fleetline="${1:-${CARGO_TARGET_DIR:-target}/debug/fleetline}"
dev=.dev/demo
rm -rf "$dev"
mkdir -p "$dev"

# The demo shows the offline analyser and the default settings, whatever this shell and this user
# have configured for other work.
for name in "${!FLEETLINE_@}" OPENAI_API_KEY OPENAI_BASE_URL OPENAI_MODEL; do unset "$name"; done
export FLEETLINE_RUN__DB="$dev/fleetline.db"

bold=$'\e[1m' cyan=$'\e[36m' plain=$'\e[0m'
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || bold='' cyan='' plain=''

say() { printf '\n%s── %s%s\n' "$bold" "$*" "$plain"; }

prompt() { printf '%s$ %s%s\n' "$cyan" "$*" "$plain"; }

show() {
  prompt "fleetline $* -q"
  "$fleetline" "$@" -q
}

say "An XML order. First a look: which parts become jobs, how many calls and tokens would a model take?"
prompt OPENAI_BASE_URL=http://localhost:11434/v1 fleetline run samples/airline-order.xml --dry-run
OPENAI_BASE_URL=http://localhost:11434/v1 "$fleetline" run samples/airline-order.xml --dry-run 2>&1

say "Now with the offline rules: each part is analysed once."
show run samples/airline-order.xml --out "$dev/order.jsonl"
show facts --type Passenger --limit 4

say "A service log. Events that differ only in numbers, ids and the like are analysed once."
show run samples/service.log --out "$dev/log.jsonl"

say "The log again: every result is there already, nothing is paid twice."
prompt "fleetline run samples/service.log -q | tail -n 2"
"$fleetline" run samples/service.log -q | tail -n 2
show status

printf '\n%sResults%s, one JSON line per job: %s, %s\n' "$bold" "$plain" "$dev/order.jsonl" "$dev/log.jsonl"
printf 'Look further: %s facts --db %s\n' "$fleetline" "$dev/fleetline.db"
