#!/bin/sh
# Compares the step of this tree with the same calls in a closure at an older commit, which has no step:
#
#   benches/peers/against-commit.sh COMMIT [ROUNDS] [SECONDS]
#
# That commit is built with this tree's benchmarks, beside this one. Both run by turns, on files that each made by itself.
set -eu
commit=$1
rounds=${2:-5}
seconds=${3:-0.7}
cd "$(dirname "$0")/../.."
tree=$PWD
target=$tree/benches/target
older=$target/older

git worktree prune
git worktree add --quiet --force --detach "$older" "$commit"
trap 'git -C "$tree" worktree remove --force "$older"' EXIT
rm -rf "$older/benches"
mkdir "$older/benches"
(cd benches && tar -cf - --exclude=./target .) | tar -xf - -C "$older/benches"
cargo build --release --manifest-path benches/Cargo.toml --package peers --target-dir "$target"
cargo build --release --manifest-path "$older/benches/Cargo.toml" --package peers --no-default-features \
  --target-dir "$target/older-target"

# Both look here for the texts, and leave their files on the same disk.
export CARGO_MANIFEST_DIR="$tree/benches/peers"

# What one of them did in a second, in the mean, and its median in microseconds.
run() {
  "$1" --workload "$3" --contestant "$2" --rounds 1 --seconds "$seconds" --json "$target/older.jsonl" >/dev/null 2>&1
  awk 'function number(name) {
      match($0, "\"" name "\":[0-9.]+")
      return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
    }
    /"kind":"measurement"/ { printf "%.0f %.1f", number("operations") / number("seconds"), number("p50") / 1000 }' \
    "$target/older.jsonl"
}

for workload in step_1_full step_64_full; do
  round=1
  while [ "$round" -le "$rounds" ]; do
    before=$(run "$target/older-target/release/peers" descartes-state-transact "$workload")
    now=$(run "$target/release/peers" descartes-state "$workload")
    echo "$before $now"
    round=$((round + 1))
  done | awk -v workload="$workload" '
    { printf "%s: %s/s and p50 %s us at the older commit, %s/s and %s us now: %.2f times as many, p50 %.2f of it\n",
        workload, $1, $2, $3, $4, $3 / $1, $4 / $2 }'
done
