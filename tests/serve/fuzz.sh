#!/usr/bin/env bash
# tests/serve/fuzz.sh SCHEMATHESIS SECONDS: requests by and against the description of the interface. VAR_BINARY is the program.
set -euo pipefail
program=$(realpath "$1")
out=$(mktemp -d)
"$VAR_BINARY" serve --port 0 --quiet >"$out/address" 2>"$out/faults" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$out"' EXIT
until [ -s "$out/address" ]; do
    kill -0 "$server"
    sleep 0.1
done
# (That a text is the base64 of an image, or the name of a class, no schema says: such requests are refused.)
# Its notes go where it runs.
cd "$out"
"$program" run "$(cat address)api/openapi.json" --max-time "$2" --exclude-checks positive_data_acceptance \
    --max-examples 100000 --continue-on-failure --warnings off --request-timeout 60 --no-color
kill -TERM "$server"
wait "$server"
if [ -s "$out/faults" ]; then
    cat "$out/faults"
    exit 1
fi
