#!/usr/bin/env bash
# Everything a graphics card must show, in one call, on a machine that has neither Rust nor a network.
#
#   tests/cuda/check.sh pack FOLDER     where Rust is: builds, and puts all that is wanted into FOLDER
#   FOLDER/check.sh [RESULTS]           where the card is: checks, then times; results into RESULTS
#
# Every step runs, whatever becomes of the others; the summary names each, and the exit code is 1 if one failed.
# What the machine lacks is named as left out. STEPS="unit models" runs these alone; LIMIT is each step's
# seconds.
set -uo pipefail

pack() {
    local folder=$1 root
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    set -e
    mkdir -p "$folder/lib" "$folder/work/var-cli"
    folder=$(cd "$folder" && pwd)
    cd "$root"
    cargo build --release -p var-cli --features cuda
    cp target/release/var "$folder/var"
    # A test's program, by the name cargo says it has.
    program() {
        "$@" --no-run --message-format=json |
            sed -n 's/.*"profile":{[^}]*"test":true.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
    }
    cp "$(program cargo test -p var-kernel --lib --features cuda)" "$folder/unit"
    # With emulated cards, which VAR_CARDS=real leaves out.
    cp "$(program cargo test -p var-cli --test integration --features emulator)" "$folder/models"
    cp "$(program cargo test -p var-host --lib --features emulator)" "$folder/host"
    cp tests/cuda/compare.py "$folder/compare.py"
    cp -r fixtures "$folder/work/fixtures"
    cp tests/cuda/check.sh "$folder/check.sh"
    # Without symbols they are a tenth as large.
    strip "$folder/var" "$folder/unit" "$folder/models" "$folder/host"
    # NVRTC, which the card's machine may lack: one wheel, 140 MB; NVRTC=0 leaves it out.
    if [ "${NVRTC:-1}" != 0 ]; then
        local venv=target/nvrtc
        [ -d "$venv" ] || python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet nvidia-cuda-nvrtc
        find "$venv" -name 'libnvrtc*.so*' -not -name '*alt*' -exec cp -L {} "$folder/lib/" \;
    fi
    du -sh "$folder"
}

if [ "${1:-}" = pack ]; then
    pack "${2:?pack wants a folder}"
    exit
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=${1:-${OUT:-$here/results}}
mkdir -p "$results"
results=$(cd "$results" && pwd)
export LD_LIBRARY_PATH="$here/lib:${LD_LIBRARY_PATH:-}" VAR_REQUIRE=cuda,nvrtc
export VAR_CARDS=real VAR_CUBINS="$results/cubins" CARGO_MANIFEST_DIR="$here/work/var-cli"
limit=${LIMIT:-300}
# Libraries that PyTorch brings, where the system has none: cuBLASLt, NCCL.
if command -v python3 >/dev/null; then
    brought=$(python3 -c 'import glob, site; print(":".join(glob.glob(site.getsitepackages()[0] + "/nvidia/*/lib")))')
    LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$brought"
fi
failed=0
summary=$results/summary.txt
: >"$summary"

say() { printf '%s\n' "$*" | tee -a "$summary"; }

# step NAME COMMAND...: runs it, its output into RESULTS/NAME.txt.
step() {
    local name=$1 begin=$SECONDS code
    shift
    case " ${STEPS:-$name} " in *" $name "*) ;; *) return 0 ;; esac
    if [ "$(type -t "$1")" = function ]; then
        ("$@") >"$results/$name.txt" 2>&1
    else
        timeout "$limit" "$@" >"$results/$name.txt" 2>&1
    fi
    code=$?
    if [ "$code" = 0 ]; then
        say "passed  $name ($((SECONDS - begin)) s)"
    else
        failed=1
        say "FAILED  $name (code $code, $((SECONDS - begin)) s): $(grep -v '^ *$' "$results/$name.txt" | tail -n 1)"
    fi
    return 0
}

left_out() { say "left out: $*"; }

if nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used --format=csv >"$results/card.txt" 2>&1; then
    say "$(tail -n 1 "$results/card.txt")"
else
    left_out "the card's name: nvidia-smi does not answer"
fi

# Right: every operation against its oracle and its naive twin, at the published models' sizes too; whole models
# against the processor and the golden files; the same bytes from run to run.
step unit "$here/unit" cuda:: ops:: --test-threads 1
step models "$here/models" cards:: --nocapture
# Gradients against finite differences, training and evaluation against the processor.
step gradients "$here/host" grad:: optim:: train:: inception:: --skip compiled --test-threads 1
step training "$here/models" on_cards --nocapture
cd "$results"
same_bytes() {
    for turn in 1 2; do
        "$here/var" sample --device cuda --count 32 --batch 16 --seed 7 -o "turn-$turn.png" --force || return 1
    done
    cmp turn-1.png turn-2.png
}
step same-bytes same_bytes
one_picture_in_each_precision() {
    "$here/var" sample --device cpu --class 0-9 --seed 0 --quiet --force --tokens cpu.tokens -o cpu.png || return 1
    for precision in f32 tf32 f16 bf16; do
        "$here/var" sample --device cuda --precision "$precision" --class 0-9 --seed 0 --quiet --force \
            --tokens "$precision.tokens" -o "$precision.png" || return 1
        if cmp -s cpu.tokens "$precision.tokens"; then
            echo "$precision: the processor's tokens"
        else
            echo "$precision: other tokens than the processor's"
            # Roundings of TF32 and 16 bits may turn a draw; those of singles hardly ever do.
            [ "$precision" = f32 ] && return 1
        fi
    done
    return 0
}
step precisions one_picture_in_each_precision

# Clean: races and reads past the end, at sizes a sanitizer can bear.
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        VAR_SIZES=awkward step "$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$here/unit" ops::twins ops::draw ops::nearest_code ops::combine --test-threads 1
    done
else
    left_out "memcheck, racecheck: no compute-sanitizer on this machine"
fi

# Fast: per scale, per kernel, share of the measured peak.
step bench-built-in "$here/var" bench --device cuda --json
for precision in f32 tf32; do
    step "bench-d16-batch-64-$precision" "$here/var" bench --device cuda --precision "$precision" --depth 16 --dtype f32 --batch 64
done
for size in "16 1" "16 64" "30 1" "30 64"; do
    read -r depth batch <<<"$size"
    step "bench-d$depth-batch-$batch" "$here/var" bench --device cuda --depth "$depth" --dtype f16 --batch "$batch" --runs 5
done
# The same products by the kernels here alone.
for size in "16 64" "30 1" "30 64"; do
    read -r depth batch <<<"$size"
    VAR_PRODUCTS=own step "bench-own-d$depth-batch-$batch" \
        "$here/var" bench --device cuda --depth "$depth" --dtype f16 --batch "$batch" --runs 5
done
grep -H -E 'whole image|batch|peak of' "$results"/bench-*.txt 2>/dev/null | sed "s|$results/||" >>"$summary"

# Against the reference code, of which REFERENCE names a clone.
if [ -n "${REFERENCE:-}" ] && command -v python3 >/dev/null; then
    LIMIT=1800 limit=1800 step compare python3 "$here/compare.py" --var "$here/var" --reference "$REFERENCE" \
        -o "$results/compare.json"
    grep -h "the reference's speed" "$results/compare.txt" >>"$summary" 2>/dev/null
else
    left_out "the comparison with the reference code: REFERENCE names no clone of it, or there is no python3"
fi

exit "$failed"
