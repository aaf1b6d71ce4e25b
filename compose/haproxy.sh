#!/bin/sh
# HAProxy with the files that are named. They have the document's addresses, 172.20.0.x: where NET says another network, its in their place.
set -eu
work=$(mktemp -d)
files=
for file; do
    sed "s/172\.20\.0\./${NET:-172.20.0}./g" "$file" > "$work/$(basename "$file")"
    files="$files -f $work/$(basename "$file")"
done
# shellcheck disable=SC2086
exec haproxy -db $files
