#!/usr/bin/env bash
# Makes the page's folder, with the built-in model or another: `bash var-kernel/web/build.sh OUT [MODEL]`. Any web
# server serves it as it is.
set -euo pipefail
[ $# -eq 1 ] || [ $# -eq 2 ] || { echo "usage: build.sh OUT [MODEL]"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)

# Features are of the whole module, so each set of them is a build of its own, in a folder of its own.
build() { # NAME FEATURES
    RUSTFLAGS="-C target-feature=$2" cargo build --quiet --manifest-path "$root/Cargo.toml" -p var-web \
        --profile web --target wasm32-unknown-unknown --target-dir "$root/target/web-$1"
    cp "$root/target/web-$1/wasm32-unknown-unknown/web/var_web.wasm" "$out/var-$1.wasm"
}
build simd +simd128
build relaxed +simd128,+relaxed-simd

cp "$here"/page/* "$out"
cp "${2:-$root/var-host/src/model/default.safetensors}" "$out/model.safetensors"
