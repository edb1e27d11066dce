postgres_url_variable() { echo FLEETLINE_POSTGRES__URL; }

# The newest installed version.
postgres_bin() { { ls -d /usr/lib/postgresql/*/bin 2>/dev/null || true; } | sort -V | tail -n 1; }

# The server refuses to run as root: then it runs as the user that its package made.
postgres_as() {
  if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# Where that user may not enter the checkout, the data lives under /var/tmp.
postgres_make_data() {
  local dir="$1" data="$1/data"
  mkdir -p "$data"
  [ "$(id -u)" -eq 0 ] || return 0
  if ! runuser -u postgres -- test -x "$dir"; then
    rmdir "$data"
    ln -s "$(mktemp -d /var/tmp/fleetline-postgres.XXXXXX)" "$data"
  fi
  chown -R postgres: "$(readlink -f "$data")"
}

postgres_launch() {
  local dir="$1" bin data port
  port="$(port_of "$dir" postgres)"
  bin="$(postgres_bin)"
  [ -e "$dir/data" ] || postgres_make_data "$dir"
  data="$(readlink -f "$dir/data")"
  if [ ! -s "$data/PG_VERSION" ]; then
    (cd / && postgres_as "$bin/initdb" -D "$data" -U fleetline --auth=trust -E UTF8 --locale=C --no-instructions) \
      >"$dir/log" 2>&1
  fi
  local tls=() file
  if has_tls "$dir"; then
    # It reads no key that belongs to somebody else.
    for file in server.pem server.key; do postgres_as tee "$data/$file" <"$(tls_dir "$dir")/$file" >/dev/null; done
    postgres_as chmod 600 "$data/server.key"
    tls=(-c ssl=on -c ssl_cert_file=server.pem -c ssl_key_file=server.key)
  fi
  # A killed server leaves its pid file, which may name a process of someone else by now.
  rm -f "$data/postmaster.pid"
  # `exec` first: a shell that redirects a function keeps its old output open, and whoever reads that
  # would wait for the server's end.
  (exec >>"$dir/log" 2>&1 </dev/null; cd / && postgres_as setsid "$bin/postgres" -D "$data" \
    -p "$port" ${tls[@]+"${tls[@]}"} \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300 \
    -c shared_buffers=256MB -c max_wal_size=4GB -c log_min_messages=warning) &
  local left=100
  until [ -s "$data/postmaster.pid" ] || [ "$left" -eq 0 ]; do left=$((left - 1)); sleep 0.05; done
  head -n 1 "$data/postmaster.pid" >"$dir/pid"
}

postgres_ready() {
  PGCONNECT_TIMEOUT=2 psql -h 127.0.0.1 -p "$(port_of "$1" postgres)" -U fleetline -d postgres -Atqc 'SELECT 1' \
    >/dev/null 2>&1
}

# SIGINT: fast shutdown.
postgres_stop() { kill -INT "$2"; }

postgres_env() {
  if has_tls "$1"; then
    echo "export FLEETLINE_POSTGRES__URL='postgres://fleetline@localhost:$(port_of "$1" postgres)/postgres?sslmode=verify-full&sslrootcert=$(tls_dir "$1")/ca.pem'"
    return
  fi
  echo "export FLEETLINE_POSTGRES__URL=postgres://fleetline@127.0.0.1:$(port_of "$1" postgres)/postgres"
}
