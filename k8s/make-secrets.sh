#!/bin/sh
# Makes the Secrets of a platform with random values, where they are not there yet: for k8s/laptop and k8s/single-gpu,
# whose stores are bundled. For production make slipway-database, slipway-objects and slipway-redis by hand: they name
# stores of yours (helm/slipway/README.md, "Secrets").
#   k8s/make-secrets.sh [NAMESPACE]
set -eu
namespace=${1:-slipway}
random() { LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom | head -c 40; }
make() {
  name=$1
  shift
  if kubectl -n "$namespace" get secret "$name" >/dev/null 2>&1; then
    echo "secret/$name is there"
  else
    # From standard input: arguments can be read by everybody on this machine.
    for pair in "$@"; do printf '%s\n' "$pair"; done |
      kubectl -n "$namespace" create secret generic "$name" --from-env-file=/dev/stdin
  fi
}
password=$(random)
make slipway-admin "admin=$(random)"
make slipway-ray-auth "auth_token=$(random)"
make slipway-metrics "token=$(random)"
make slipway-database "password=$password" \
  "url=postgresql+asyncpg://slipway:$password@slipway-database.$namespace.svc:5432/slipway"
make slipway-objects "access-key=$(random | head -c 20)" "secret-key=$(random)"
