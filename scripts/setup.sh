#!/usr/bin/env bash
# Checks what a build needs: Rust, a C compiler (SQLite is compiled in), make.
# On Debian and Ubuntu it installs what is missing, as root or with sudo; elsewhere it says what.
set -euo pipefail

export PATH="$HOME/.cargo/bin:$PATH"

if ! command -v cargo >/dev/null; then
  echo "Rust is missing: install it from https://rustup.rs (1.95 or newer), then run this again." >&2
  exit 1
fi

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v make >/dev/null || packages+=(make)
[ ${#packages[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "Missing: ${packages[*]}. Install a C compiler and make with your system's packages." >&2
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "Missing: ${packages[*]}. As root: apt-get install ${packages[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "Installing ${packages[*]} with apt-get."
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y --no-install-recommends "${packages[@]}"
