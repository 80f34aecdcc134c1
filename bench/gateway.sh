#!/usr/bin/env bash
# gateway.sh PEERS [CRESSET]: what a request through the gateway costs, beside crabllm in one interleaved run.
# PEERS is the folder of bench.sh, load/ and mock/, installed into $PREFIX (mock, load and crabllm suffice).
# ROUNDS=7 PASSES=2 are the defaults; see README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
peers=${1:?usage: bench/gateway.sh PEERS [CRESSET]}
cresset=$(realpath "${2:-$here/../build/release/cresset}")
export PREFIX=${PREFIX:-${XDG_CACHE_HOME:-$HOME/.cache}/cresset-peers/gateway}
export CRESSET_BENCH_KEY=sk-bench GW_URL=http://127.0.0.1:9210/v1/chat/completions
scratch=$(mktemp -d)
mock=
gateway=
trap 'kill $gateway $mock 2>/dev/null || true; rm -rf "$scratch"' EXIT
export GW_CMD="$cresset serve --config $here/gateway.toml --data $scratch/data"

names=()
for _ in $(seq "${PASSES:-2}"); do names+=(crabllm custom); done
bash "$peers/bench.sh" direct "${names[@]}"

# A thousand streams at once, with an upstream slow enough for one core to keep up with, and a long translated request.
taskset -c 1 "$PREFIX/mock" -addr 127.0.0.1:9100 -gap 100ms & mock=$!
taskset -c 0 $GW_CMD >"$scratch/log" 2>&1 & gateway=$!
for _ in $(seq 100); do grep -q ready "$scratch/log" && break; sleep 0.1; done
echo "== custom, a thousand streams"
taskset -c 1 "$PREFIX/load" -mode stream -streams 1000 -rounds 1 -gateway "$GW_URL" -pid "$gateway"
echo "== custom, 100 KB from Anthropic to OpenAI"
taskset -c 1 python3 "$here/translate.py" "${ROUNDS:-7}"
