#!/usr/bin/env bash
# Build the images: k8s/image/build.sh REPOSITORY [TARGET...], with targets operator, cpu and gpu (all by default).
# REPOSITORY is a name without a tag, registry.example.com/team/slipway; tags are VERSION-TARGET, as the chart wants
# them. DOCKER names another program (podman), BUILD_ARGS more options: --build-arg PYTHON_IMAGE=..., --push.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=${1:?usage: k8s/image/build.sh REPOSITORY [TARGET...]}
shift
[ $# -gt 0 ] || set -- operator cpu gpu
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)

for target; do
  # shellcheck disable=SC2086
  "${DOCKER:-docker}" build --platform linux/amd64 --file k8s/image/Dockerfile --target "$target" \
    --tag "$repository:$version-$target" ${BUILD_ARGS:-} .
done
