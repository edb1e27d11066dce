# Shared by the servers' own files. Each of those defines, for its NAME:
#   NAME_url_variable   which variable names an existing server instead
#   NAME_launch DIR     starts it in the background; its pid goes to DIR/pid
#   NAME_ready DIR      succeeds when it answers
#   NAME_stop DIR       asks it to end
#   NAME_env DIR        prints its URLs as shell exports

# Longest wait for a server to answer, in tenths of a second.
START_PATIENCE="${FLEETLINE_START_PATIENCE:-600}"
STOP_PATIENCE=150

install_missing() {
  local packages=()
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || packages+=(rabbitmq-server)
  command -v redis-server >/dev/null || packages+=(redis-server)
  [ -n "$(postgres_bin)" ] || packages+=(postgresql)
  [ ${#packages[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || { echo "Missing: ${packages[*]}; install them with your system's packages." >&2; exit 1; }
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Missing: ${packages[*]}. As root: apt-get install ${packages[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  echo "Installing ${packages[*]} with apt-get." >&2
  # The packages would start servers of their own on the usual ports: forbidden for the moment.
  local guard=/usr/sbin/policy-rc.d guarded=0
  if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$guard" >/dev/null
    "${as_root[@]}" chmod +x "$guard"
    guarded=1
  fi
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
  [ "$guarded" -eq 0 ] || "${as_root[@]}" rm -f "$guard"
}

# A port below the range that systems hand out to clients, on which nobody answers. It is set aside for an hour:
# whoever starts at the same time must not choose it before its server answers.
free_port() {
  local port aside
  aside="${TMPDIR:-/tmp}/fleetline-ports-$(id -u)"
  mkdir -p "$aside"
  find "$aside" -mindepth 1 -maxdepth 1 -mmin +60 -exec rmdir {} + 2>/dev/null || true
  while :; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    mkdir "$aside/$port" 2>/dev/null || continue
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# The port of that name, chosen once for the life of the data.
port_of() {
  local file="$1/$2.port"
  [ -s "$file" ] || free_port >"$file"
  cat "$file"
}

is_running() { [ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }

# Two callers that start the same server: the second waits, then finds it running. `-o` keeps the
# lock from the server itself.
start_one() {
  mkdir -p "$2/$1"
  flock -o "$2/$1/lock" "$here/services.sh" start-locked "$1" "$2"
}

start_locked() {
  local name="$1" dir="$2/$1"
  is_running "$dir" || "${name}_launch" "$dir"
  local left="$START_PATIENCE"
  until "${name}_ready" "$dir"; do
    left=$((left - 1))
    # A server that writes its own number leaves the file empty for a moment.
    if [ "$left" -le 0 ] || ! { is_running "$dir" || { sleep 0.5; is_running "$dir"; }; }; then
      echo "$name did not start; the end of its log ($dir/log):" >&2
      tail -n 20 "$dir/log" >&2 || true
      return 1
    fi
    sleep 0.1
  done
}

wait_for_end() {
  local pid="$1" left="$STOP_PATIENCE"
  while kill -0 "$pid" 2>/dev/null; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 0.1
  done
}

stop_one() {
  local name="$1" dir="$2/$1" pid
  is_running "$dir" || return 0
  pid="$(cat "$dir/pid")"
  # A stopped process hears nothing.
  kill -CONT "$pid" 2>/dev/null || true
  "${name}_stop" "$dir" "$pid" >/dev/null 2>&1 || true
  wait_for_end "$pid" || kill -KILL "$pid" 2>/dev/null || true
  rm -f "$dir/pid"
}

kill_one() {
  local dir="$2/$1" pid
  is_running "$dir" || return 0
  pid="$(cat "$dir/pid")"
  kill -KILL "$pid" 2>/dev/null || true
  wait_for_end "$pid" || true
  rm -f "$dir/pid"
}

remove_data() {
  local name="$1" dir="$2/$1"
  [ -d "$dir" ] || return 0
  if [ -L "$dir/data" ]; then rm -rf "$(readlink "$dir/data")"; fi
  rm -rf "$dir"
}
