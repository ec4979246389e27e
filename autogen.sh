#!/bin/sh
# autogen.sh - make `configure` from configure.ac. Then: mkdir build && cd build && ../configure
set -eu
cd "$(dirname "$0")"
for tool in autoreconf automake libtoolize pkg-config; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "autogen.sh: $tool is missing; \`sh conf/install-deps\` installs what building needs" >&2
        exit 1
    }
done
mkdir -p build-aux/m4
exec autoreconf --force --install
