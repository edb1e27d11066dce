redis_url_variable() { echo FLEETLINE_REDIS__URL; }

# Nothing is kept on disk: what Fleetline has in Redis may be lost at any time, and tests say so.
redis_launch() {
  local dir="$1" port
  # Chosen before anything runs in the background: else whoever asks next might choose another.
  port="$(port_of "$dir" redis)"
  setsid redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" --save '' --appendonly no \
    --enable-debug-command local >"$dir/log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
}

redis_ready() { [ "$(redis-cli -h 127.0.0.1 -p "$(port_of "$1" redis)" ping 2>/dev/null)" = PONG ]; }

redis_stop() { kill -TERM "$2"; }

redis_env() { echo "export FLEETLINE_REDIS__URL=redis://127.0.0.1:$(port_of "$1" redis)/"; }
