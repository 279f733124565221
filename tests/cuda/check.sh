#!/usr/bin/env bash
# What a GPU must show, on a machine that has neither Rust nor a network and is lent for minutes.
#
#   tests/cuda/check.sh pack FOLDER          where Rust is: everything into FOLDER/card.tar.xz, at most 40 MiB
#   tests/cuda/check.sh lighten              takes out of the work tree the files that no call reads; when it has
#                                            been copied to the GPU, `git checkout .` brings them back
#   bash FOLDER/check.sh 1 [RESULTS]         where the GPU is, in the repository: right, then d16 and PyTorch
#   bash FOLDER/check.sh 2 [RESULTS]         d30, d36, training, gradients, sanitizers
#
# Each call ends within nine minutes (TOTAL seconds). Every step has a limit of its own and runs whatever becomes of
# the others; the exit code is 1 if one failed. After each step RESULTS (else $OUT) holds all there is, in four files:
# summary.txt, logs.tgz, compare.json, profile.csv.
#
# The golden files are the repository's. Archive and tracked files travel together and may have 64 MiB, those that
# `lighten` takes out (24 MiB) not counted.
# `pack` compiles the kernels for sm_90 too, so that no minute of the GPU's goes to that; the GPU's machine must
# have NVRTC all the same, for what the archive lacks. REFERENCE names a clone of the PyTorch reference to pack.
set -uo pipefail

MOST_MIB=40
MOST_MIB_TOGETHER=64

# Tracked files that no call reads: models that `var` has built in or only tests of other parts want.
UNREAD=(fixtures/fashion_reference.safetensors fixtures/fashion_reference.expected.safetensors
    fixtures/training/log.jsonl var-host/src/model/default.safetensors)

pack() {
    set -e
    local folder=$1 root stage nvrtc library
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    stage=$(mktemp -d)
    cd "$root"
    # For a rehearsal PROFILE=dev packs what tests build anyway; CARGO may have options.
    local cargo=${CARGO:-cargo} profile=${PROFILE:-release}
    $cargo build --profile "$profile" --workspace --bin var --features cuda
    cp "target/${profile/#dev/debug}/var" "$stage/var"
    # The tests' programs, by the names cargo says they have.
    $cargo test --workspace --features cuda --lib --test integration --no-run --message-format=json \
        >"$stage/built"
    program() { sed -n "s|.*\"executable\":\"\([^\"]*/$1-[0-9a-f]*\)\".*|\1|p" "$stage/built" | tail -n 1; }
    cp "$(program var_kernel)" "$stage/unit"
    cp "$(program var_host)" "$stage/host"
    cp "$(program integration)" "$stage/models"
    rm "$stage/built"
    # Without symbols they are a tenth as large.
    strip "$stage/var" "$stage/unit" "$stage/host" "$stage/models"
    mkdir "$stage/cubins"
    nvrtc=${NVRTC:-target/nvrtc/newest}
    library=$(find "$nvrtc" -name 'libnvrtc.so*' 2>/dev/null | head -n 1 || true)
    if [ -z "$library" ]; then
        python3 -m venv target/nvrtc
        target/nvrtc/bin/pip install --quiet --no-deps --target "$nvrtc" nvidia-cuda-nvrtc
        library=$(find "$nvrtc" -name 'libnvrtc.so*' | head -n 1)
    fi
    for program in unit host; do
        VAR_GPUS=real LD_LIBRARY_PATH=$(dirname "$(realpath "$library")") VAR_COMPILE_INTO=$stage/cubins \
            "$stage/$program" kernels_are_compiled_into_a_folder --ignored
    done
    "$stage/var" sample --device cpu --class 0-9 --seed 0 --quiet --tokens "$stage/cpu.tokens" -o "$stage/cpu.png"
    cp tests/cuda/compare.py "$stage"
    if [ -n "${REFERENCE:-}" ]; then
        mkdir "$stage/reference"
        cp -r "$REFERENCE"/{models,dist.py,utils} "$stage/reference"
    fi
    tar -C "$stage" -c . | xz -9 -T 2 >"$folder/card.tar.xz"
    cp tests/cuda/check.sh "$folder/check.sh"
    du -sh "$stage"/* | sort -rh
    rm -rf "$stage"
    local bytes tree
    bytes=$(stat -c %s "$folder/card.tar.xz")
    tree=$(git ls-files -z -- . "${UNREAD[@]/#/:!}" | xargs -0 du -cb | tail -n 1 | cut -f 1)
    printf 'card.tar.xz: %s MiB; with the %s MiB of tracked files: %s MiB\n' \
        $((bytes >> 20)) $((tree >> 20)) $(((bytes + tree) >> 20))
    [ $((bytes + tree)) -le $((MOST_MIB_TOGETHER << 20)) ] || { echo "more than $MOST_MIB_TOGETHER MiB"; exit 1; }
    [ "$bytes" -le $((MOST_MIB << 20)) ] || { echo "more than $MOST_MIB MiB"; exit 1; }
}

case ${1:-} in
    pack)
        pack "${2:?pack wants a folder}"
        exit
        ;;
    lighten)
        cd "$(dirname "${BASH_SOURCE[0]}")/../.." && rm -f "${UNREAD[@]}"
        exit
        ;;
esac

call=${1:?1 or 2: which call}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=${2:-${OUT:-$here/results}}
total=${TOTAL:-520}
mkdir -p "$results"
results=$(cd "$results" && pwd)
repository=$PWD
work=$(mktemp -d)
logs=$work/logs
mkdir "$logs"
trap 'rm -rf "$work"' EXIT
tar -C "$work" -xJf "$here/card.tar.xz" || exit 1
export RUST_BACKTRACE=0 VAR_REQUIRE=cuda,nvrtc VAR_GPUS=real VAR_CUBINS=$work/cubins CARGO_MANIFEST_DIR=$repository/var-cli
# Libraries that PyTorch brings, where the system has none: NVRTC, cuBLASLt, NCCL.
brought=$(python3 -c 'import glob, site; print(":".join(glob.glob(site.getsitepackages()[0] + "/nvidia/*/lib")))' 2>/dev/null)
export LD_LIBRARY_PATH=${LIBRARIES:+$LIBRARIES:}${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$brought
# Sizes that a rehearsal makes smaller.
d16=${D16:-16} d30=${D30:-30} many=${MANY:-64} device=${COMPARE_DEVICE:-cuda}
failed=0
touch "$results/profile.csv"
cd "$work"

say() { printf '%s\n' "$*" | tee -a "$results/summary.txt"; }

# step NAME LIMIT COMMAND...: runs it, its output into logs/NAME.txt, for LIMIT seconds or what is left of the call.
step() {
    local name=$1 limit=$2 begin=$SECONDS code left
    shift 2
    case " ${STEPS:-$name} " in *" $name "*) ;; *) return 0 ;; esac
    left=$((total - SECONDS))
    if [ "$left" -lt 5 ]; then
        say "left out  $name: the call's $total s are over"
        return 0
    fi
    [ "$limit" -lt "$left" ] || limit=$left
    if [ "$(type -t "$1")" = function ]; then
        export -f "$1"
        timeout -k 5 "$limit" bash -c "$*" >"$logs/$name.txt" 2>&1
    else
        timeout -k 5 "$limit" "$@" >"$logs/$name.txt" 2>&1
    fi
    code=$?
    if [ "$code" = 0 ]; then
        say "passed  $name ($((SECONDS - begin)) s)"
    else
        failed=1
        say "FAILED  $name (code $code, $((SECONDS - begin)) of $limit s)"
        { grep -m 5 -A 2 -E 'panicked at|^error:|^var: ' "$logs/$name.txt" || tail -n 3 "$logs/$name.txt"; } |
            cut -c 1-300 | sed 's/^/        /' | tee -a "$results/summary.txt"
    fi
    tar -C "$work" -czf "$results/logs.tgz" logs
    return 0
}

# Lines of a step's output that are results.
show() { grep -h -E "$2" "$logs/$1.txt" 2>/dev/null | cut -c 1-200 | tee -a "$results/summary.txt"; return 0; }

machine() {
    nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used --format=csv,noheader
    python3 -c 'import torch; print("PyTorch", torch.__version__, torch.version.cuda, torch.backends.cudnn.version())'
    for library in nvrtc cublasLt nccl cudnn; do
        find ${LD_LIBRARY_PATH//:/ } /usr/lib /usr/local/cuda* -name "lib$library.so.*" 2>/dev/null | head -n 1
    done
    true
}

# tokens NAME=VALUE PRECISION: the processor's, or how many bytes of them differ.
tokens() {
    env "$1" ./var sample --device cuda --precision "$2" --class 0-9 --seed 0 --batch 2 --quiet --force \
        --tokens gpu.tokens -o gpu.png || return 1
    if cmp -s cpu.tokens gpu.tokens; then
        echo "tokens $1 $2: the processor's"
    else
        echo "tokens $1 $2: $(cmp -l cpu.tokens gpu.tokens | wc -l) of $(stat -c %s cpu.tokens) bytes differ"
        # Roundings of TF32 and 16 bits may turn a draw; those of singles hardly ever do.
        [ "$2" != f32 ]
    fi
}

same_bytes() {
    for turn in 1 2; do
        ./var sample --device cuda --count 32 --batch 16 --seed 7 -o "turn-$turn.png" --force || return 1
    done
    cmp turn-1.png turn-2.png
}

# bench NAME LIMIT OPTIONS...: scale by scale, with each kernel's time; then whole images without a wait.
bench() {
    local name=$1 limit=$2
    shift 2
    step "$name" "$limit" ./var bench --device cuda "$@"
    show "$name" 'batch|peak of|whole image|GPU has'
    awk -v name="$name" '/ × .* ms / {print name "," $1 "," $2 "," $4 "," $6}' "$logs/$name.txt" 2>/dev/null \
        >>"$results/profile.csv"
    step "$name-whole" "$limit" ./var bench --device cuda --whole "$@"
    show "$name-whole" 'whole image'
}

# compare LIMIT CASE: beside the reference code, in turn.
compare() {
    if [ ! -d reference ] || ! command -v python3 >/dev/null; then
        say "left out  compare $2: the archive has no reference, or there is no python3"
        return 0
    fi
    step "compare-$2" "$1" python3 compare.py --var ./var --reference reference --device "$device" --case "$2" \
        --limit $(($1 / 2)) -o "$results/compare.json"
    show "compare-$2" 'times the reference'
}

if [ "$call" = 1 ]; then
    step machine 20 machine
    show machine .
    step tokens-f32-no-graphs 40 tokens VAR_GRAPHS=0 f32
    show tokens-f32-no-graphs ^tokens
    for precision in f32 tf32 f16 bf16; do
        step "tokens-$precision" 40 tokens VAR_GRAPHS=1 "$precision"
        show "tokens-$precision" ^tokens
    done
    step same-bytes 30 same_bytes
    bench d16-batch-1 30 --depth "$d16" --dtype f16 --batch 1 --runs 5
    bench "d16-batch-$many" 40 --depth "$d16" --dtype f16 --batch "$many" --runs 3
    for name in ${CASES_1:-d16-batch-1 d16-batch-64}; do compare 90 "$name"; done
    VAR_SIZES=awkward step unit-awkward 120 ./unit cuda:: ops:: --skip nvrtc --skip nvidia:: --nocapture
    step models 90 ./models gpus:: --nocapture
    show models 'off by'
    export VAR_PRODUCTS=own
    bench "own-d16-batch-$many" 30 --depth "$d16" --dtype f16 --batch "$many" --runs 3
    unset VAR_PRODUCTS
    step unit-published 300 ./unit ops::fast_vs_naive --skip nvrtc --nocapture
else
    for size in "$d30 1" "$d30 $many"; do
        read -r depth batch <<<"$size"
        bench "d30-batch-$batch" 60 --depth "$depth" --dtype f16 --batch "$batch" --runs 3
        VAR_PRODUCTS=own step "own-d30-batch-$batch" 60 ./var bench --device cuda --whole --depth "$depth" --dtype f16 \
            --batch "$batch" --runs 3
        show "own-d30-batch-$batch" 'whole image'
    done
    for name in ${CASES_2:-train-d16 d30-batch-1 d30-batch-64 d36-512-batch-8}; do compare 110 "$name"; done
    # Gradients against finite differences, training and evaluation against the processor.
    step gradients 120 ./host grad:: optim:: train:: inception:: --skip nvrtc --nocapture
    step training 90 ./models on_gpus --nocapture
    show training 'off by'
    if command -v ncu >/dev/null; then
        step kernels-alone 60 ncu --clock-control none --metrics gpu__time_duration.sum --csv --log-file "$logs/ncu.csv" \
            ./var bench --device cuda --whole --depth "$d16" --dtype f16 --batch 1 --runs 1
    else
        say "left out  kernels-alone: no ncu on this machine"
    fi
    # Races and reads past the end, at sizes a sanitizer can bear.
    for tool in memcheck racecheck; do
        if command -v compute-sanitizer >/dev/null; then
            VAR_SIZES=awkward step "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 \
                ./unit ops::fast_vs_naive ops::draw ops::nearest_code ops::elementwise ops::embedding
        else
            say "left out  $tool: no compute-sanitizer on this machine"
        fi
    done
fi
say "call $call: $SECONDS s"
exit "$failed"
