redis_url_variable() { echo FLEETLINE_REDIS__URL; }

# Nothing is kept on disk: what Fleetline has in Redis may be lost at any time, and tests say so.
redis_launch() {
  local dir="$1" port tls=() files
  # Chosen before anything runs in the background: else whoever asks next might choose another.
  port="$(port_of "$dir" redis)"
  if has_tls "$dir"; then
    files="$(tls_dir "$dir")"
    tls=(--tls-port "$(port_of "$dir" redis-tls)" --tls-cert-file "$files/server.pem" --tls-key-file "$files/server.key"
      --tls-ca-cert-file "$files/ca.pem" --tls-auth-clients no)
  fi
  setsid redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" --save '' --appendonly no ${tls[@]+"${tls[@]}"} \
    --enable-debug-command local >"$dir/log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
}

redis_ready() { [ "$(redis-cli -h 127.0.0.1 -p "$(port_of "$1" redis)" ping 2>/dev/null)" = PONG ]; }

redis_stop() { kill -TERM "$2"; }

redis_env() {
  if has_tls "$1"; then
    echo "export FLEETLINE_REDIS__URL=rediss://localhost:$(port_of "$1" redis-tls)/"
    echo "export FLEETLINE_REDIS__CA_FILE=$(tls_dir "$1")/ca.pem"
    return
  fi
  echo "export FLEETLINE_REDIS__URL=redis://127.0.0.1:$(port_of "$1" redis)/"
}
