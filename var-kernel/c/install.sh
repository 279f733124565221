#!/usr/bin/env bash
# Builds the library and installs it under PREFIX: bash install.sh PREFIX [PROFILE]
# LIBDIR: folder of libraries below PREFIX, lib/x86_64-linux-gnu for one; DESTDIR: root of a package that is being made.
set -euo pipefail
prefix=${1:?a prefix, as /usr/local} profile=${2:-release} libdir=${LIBDIR:-lib} destdir=${DESTDIR-}
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
case $destdir in "" | /*) ;; *) destdir=$PWD/$destdir ;; esac
case $libdir in /* | *..*) echo "LIBDIR is $libdir, a folder below PREFIX wanted" >&2; exit 1 ;; esac
cd "$(dirname "$0")/../.."
cargo build --profile "$profile" --package varimage
built=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}
version=$(cargo pkgid --package varimage | sed 's/.*[#@]//')
major=${version%%.*}
root=$destdir$prefix lib=$destdir$prefix/$libdir

install -d "$root/include" "$lib/pkgconfig" "$lib/cmake/varimage"
install -m 644 var-kernel/c/varimage.h "$root/include"
install -m 644 "$built/libvarimage.a" "$lib"
if [ -e "$built/libvarimage.so" ]; then
    install -m 755 "$built/libvarimage.so" "$lib/libvarimage.so.$version"
    ln -sf "libvarimage.so.$version" "$lib/libvarimage.so.$major"
    ln -sf "libvarimage.so.$major" "$lib/libvarimage.so"
    library=libvarimage.so.$major
else
    install -m 755 "$built"/libvarimage.dylib "$lib"
    library=libvarimage.dylib
fi
filled() { # TEMPLATE FILE
    # (The way from the library's folder to PREFIX: CMake's files go with a tree that is moved.)
    sed -e "s|@prefix@|$prefix|" -e "s|@libdir@|$libdir|" -e "s|@version@|$version|" -e "s|@library@|$library|" \
        -e "s|@up@|$(sed 's|[^/]\+|..|g' <<<"$libdir")|" "var-kernel/c/$1" >"$2"
    chmod 644 "$2"
}
filled varimage.pc.in "$lib/pkgconfig/varimage.pc"
filled varimageConfig.cmake.in "$lib/cmake/varimage/varimageConfig.cmake"
filled varimageConfigVersion.cmake.in "$lib/cmake/varimage/varimageConfigVersion.cmake"
