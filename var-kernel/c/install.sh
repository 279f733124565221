#!/usr/bin/env bash
# Builds the library and installs it under PREFIX: bash install.sh PREFIX [PROFILE]
set -euo pipefail
prefix=${1:?a prefix, as /usr/local} profile=${2:-release}
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
cd "$(dirname "$0")/../.."
cargo build --profile "$profile" --package varimage
built=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}
version=$(cargo pkgid --package varimage | sed 's/.*[#@]//')
install -d "$prefix/include" "$prefix/lib/pkgconfig" "$prefix/lib/cmake/varimage"
install -m 644 var-kernel/c/varimage.h "$prefix/include"
install -m 644 "$built/libvarimage.a" "$prefix/lib"
if [ -e "$built/libvarimage.so" ]; then
    install -m 755 "$built/libvarimage.so" "$prefix/lib/libvarimage.so.$version"
    ln -sf "libvarimage.so.$version" "$prefix/lib/libvarimage.so.0"
    ln -sf libvarimage.so.0 "$prefix/lib/libvarimage.so"
else
    install -m 755 "$built"/libvarimage.dylib "$prefix/lib"
fi
sed -e "s|@prefix@|$prefix|" -e "s|@version@|$version|" var-kernel/c/varimage.pc.in >"$prefix/lib/pkgconfig/varimage.pc"
install -m 644 var-kernel/c/varimageConfig.cmake "$prefix/lib/cmake/varimage"
