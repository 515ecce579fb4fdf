#!/usr/bin/env bash
# What the diffusion engine reaches on a GPU: every measurement of a rented hour, in order of worth.
#
#   benchmarks/gpu.sh [--only STAGE,...] [--retry]          the figures go to $RESULTS
#   benchmarks/gpu.sh --device cpu --tiny                    a rehearsal without a GPU, in about a minute
#
# It needs PyTorch for CUDA, transformers, peft, accelerate and diffusers, and nothing of the network. Where diffusers is
# missing, WHEELS names a folder with its wheel (and those of what it needs and this machine lacks).
#
# Each stage is a process of its own that ends within nine minutes and writes its figures after each measurement. Start
# the script again and it goes on: what is finished is skipped, what was cut off is recorded as such and passed over.
set -u
cd "$(dirname "$0")/.." || exit 1

PYTHON=${PYTHON:-python3}
RESULTS=${RESULTS:-benchmarks/results/gpu}
STAGE_SECONDS=${STAGE_SECONDS:-530}
SITE=${SITE:-${TMPDIR:-/tmp}/slipway-gpu-site}
export TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1

export PYTHONPATH="$SITE${PYTHONPATH:+:$PYTHONPATH}"
if ! "$PYTHON" -c 'import diffusers' 2>/dev/null; then
  if [ -z "${WHEELS:-}" ]; then
    echo "diffusers is not installed: name a folder with its wheel in WHEELS" >&2
    exit 1
  fi
  "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$SITE" "$WHEELS"/*.whl || exit 1
  "$PYTHON" -c 'import diffusers' || exit 1
fi

only="" rest=()
while [ $# -gt 0 ]; do
  case "$1" in
    --only) only=${2:?--only names stages}; shift 2 ;;
    --only=*) only=${1#--only=}; shift ;;
    *) rest+=("$1"); shift ;;
  esac
done

case " ${rest[*]-} " in
  *" --tiny "*)
    # One process: nearly all of a rehearsal's time goes into importing.
    RESULTS=${TMPDIR:-/tmp}/slipway-gpu-rehearsal
    rm -rf "$RESULTS"
    exec "$PYTHON" -m benchmarks.gpu --folder "$RESULTS" ${only:+--only "$only"} "${rest[@]}"
    ;;
esac

status=0
for stage in $(echo "${only:-ceilings sdxl sdxl_compiled poisson checks adapters sd15 sd15_compiled variants}" | tr ',' ' '); do
  timeout --kill-after=10 "$STAGE_SECONDS" \
    "$PYTHON" -m benchmarks.gpu --folder "$RESULTS" --only "$stage" ${rest[@]+"${rest[@]}"} >/dev/null || status=$?
done
"$PYTHON" -m benchmarks.gpu --folder "$RESULTS" --summary | tee "$RESULTS/summary.txt"
exit $status
