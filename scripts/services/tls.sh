# With FLEETLINE_TLS=1 the servers speak TLS too, and the printed URLs say so. The certificate is for the
# name `localhost` alone and signed by an authority of this folder: DIR/tls/ca.pem.

# The folder of certificates, for a server's own folder.
tls_dir() { echo "$(dirname "$1")/tls"; }

has_tls() { [ -s "$(tls_dir "$1")/server.pem" ]; }

tls_make() {
  local dir="$1/tls"
  [ -n "${FLEETLINE_TLS:-}" ] && [ ! -s "$dir/server.pem" ] || return 0
  mkdir -p "$dir"
  (
    exec >"$dir/log" 2>&1
    cd "$dir"
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
      -subj "/CN=Fleetline test authority" -keyout ca.key -out ca.pem
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
      -keyout server.key -out server.csr
    printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >server.ext
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
      -extfile server.ext -out server.pem
  ) || { echo "No certificates could be made; see $dir/log." >&2; return 1; }
}
