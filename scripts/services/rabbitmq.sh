rabbitmq_url_variable() { echo FLEETLINE_RABBITMQ__URL; }

# Everything of the node is its own: name, ports, epmd, home, data. FLEETLINE_RABBITMQ_CONF adds lines
# to its configuration.
rabbitmq_environment() {
  local dir="$1"
  export HOME="$dir" LC_ALL=C.UTF-8
  export RABBITMQ_NODENAME="fleetline-$(port_of "$dir" amqp)@localhost"
  export RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" RABBITMQ_CONF_ENV_FILE=/dev/null
  export RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/logs"
  export RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins"
  export RABBITMQ_DIST_PORT="$(port_of "$dir" dist)" ERL_EPMD_PORT="$(port_of "$dir" epmd)"
  export ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_PID_FILE="$dir/pid"
  # No busy waiting: the machine has other things to do.
  export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
}

rabbitmq_launch() {
  local dir="$1"
  mkdir -p "$dir/data" "$dir/logs"
  echo '[rabbitmq_management,rabbitmq_prometheus].' >"$dir/enabled_plugins"
  cat >"$dir/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$(port_of "$dir" amqp)
management.tcp.ip = 127.0.0.1
management.tcp.port = $(port_of "$dir" management)
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = $(port_of "$dir" prometheus)
disk_free_limit.absolute = 50MB
log.file.level = warning
management_agent.disable_metrics_collector = false
collect_statistics_interval = 5000
${FLEETLINE_RABBITMQ_CONF:-}
CONF
  if has_tls "$dir"; then rabbitmq_tls "$dir" >>"$dir/rabbitmq.conf"; fi
  # From its own folder: what it leaves when it crashes stays there.
  (rabbitmq_environment "$dir" && cd "$dir" && exec setsid /usr/lib/rabbitmq/bin/rabbitmq-server >"$dir/log" 2>&1 </dev/null) &
  # The node writes its own number there when it is up, which takes a while on a busy machine.
  echo $! >"$dir/pid"
}

rabbitmq_tls() {
  local listener files
  files="$(tls_dir "$1")"
  echo "listeners.ssl.1 = 127.0.0.1:$(port_of "$1" amqps)"
  echo "management.ssl.ip = 127.0.0.1"
  echo "management.ssl.port = $(port_of "$1" management-tls)"
  for listener in ssl_options management.ssl; do
    echo "$listener.cacertfile = $files/ca.pem"
    echo "$listener.certfile = $files/server.pem"
    echo "$listener.keyfile = $files/server.key"
  done
  echo "ssl_options.verify = verify_none"
}

rabbitmq_ready() {
  curl -fsS -o /dev/null -u guest:guest "http://127.0.0.1:$(port_of "$1" management)/api/overview" 2>/dev/null &&
    (exec 3<>"/dev/tcp/127.0.0.1/$(port_of "$1" amqp)") 2>/dev/null
}

# rabbitmqctl of this node: scripts/services.sh rabbitmqctl DIR ARGS...
rabbitmq_ctl() {
  local dir="$1"
  shift
  (rabbitmq_environment "$dir" && exec /usr/lib/rabbitmq/bin/rabbitmqctl -q "$@")
}

rabbitmq_stop() {
  kill -TERM "$2"
  wait_for_end "$2" || kill -KILL "$2"
  (rabbitmq_environment "$1" && epmd -port "$ERL_EPMD_PORT" -kill)
}

rabbitmq_env() {
  if has_tls "$1"; then
    echo "export FLEETLINE_RABBITMQ__URL=amqps://guest:guest@localhost:$(port_of "$1" amqps)/%2f"
    echo "export FLEETLINE_RABBITMQ__MANAGEMENT_URL=https://guest:guest@localhost:$(port_of "$1" management-tls)"
    echo "export FLEETLINE_RABBITMQ__CA_FILE=$(tls_dir "$1")/ca.pem"
    return
  fi
  echo "export FLEETLINE_RABBITMQ__URL=amqp://guest:guest@127.0.0.1:$(port_of "$1" amqp)/%2f"
  echo "export FLEETLINE_RABBITMQ__MANAGEMENT_URL=http://guest:guest@127.0.0.1:$(port_of "$1" management)"
}
