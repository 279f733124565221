#!/usr/bin/env bash
# Builds the page's program against an installed library, by pkg-config and by CMake, and compares the images.
# bash tests/c/installed.sh PREFIX LIBDIR; pkg-config and cmake are left out where they are missing.
set -euo pipefail
prefix=${1:?PREFIX} lib=$1/${2:?LIBDIR}
page=$(dirname "$0")/../../var-kernel/c/README.md
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
awk '/^```c$/ {n++; next} /^```$/ {if (n == 1) exit} n == 1' "$page" >"$place/program.c"
grep -q var_sample "$place/program.c"

run() { # NAME PROGRAM
    LD_LIBRARY_PATH=$lib "$2" >"$place/image.ppm" 2>/dev/null
    [ "$(stat -c %s "$place/image.ppm")" = 12301 ] || { echo "$1: no image of 64 x 64"; exit 1; }
    [ -e "$place/first.ppm" ] || cp "$place/image.ppm" "$place/first.ppm"
    cmp "$place/first.ppm" "$place/image.ppm"
    echo "$1: $(cksum <"$place/image.ppm")"
}

if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH=$lib/pkgconfig
    # shellcheck disable=SC2046
    cc -Wall -Wextra -Werror "$place/program.c" $(pkg-config --cflags --libs varimage) -o "$place/by-pkg-config"
    run pkg-config "$place/by-pkg-config"
fi
if command -v cmake >/dev/null; then
    cat >"$place/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.16)
project(program C)
find_package(varimage 0.1 REQUIRED)
foreach(linked varimage static)
    add_executable(${linked} program.c)
    target_link_libraries(${linked} PRIVATE varimage::${linked})
endforeach()
CMAKE
    cmake -S "$place" -B "$place/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF >/dev/null
    cmake --build "$place/build" >/dev/null
    run "CMake, shared" "$place/build/varimage"
    run "CMake, static" "$place/build/static"
    # Without a version, too; another series of versions is refused.
    sed -i "s/varimage 0.1 REQUIRED/varimage REQUIRED/" "$place/CMakeLists.txt"
    cmake -S "$place" -B "$place/any" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
    for wanted in 0.0.9 0.2 1.0; do
        sed -i "s/find_package(varimage .*REQUIRED)/find_package(varimage $wanted REQUIRED)/" "$place/CMakeLists.txt"
        if cmake -S "$place" -B "$place/refused" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null 2>&1; then
            echo "CMake takes this version for $wanted"; exit 1
        fi
        rm -rf "$place/refused"
    done
fi
