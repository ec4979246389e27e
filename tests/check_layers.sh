#!/bin/sh
# check_layers.sh - proves the include law: who may include what, and that nothing goes in a circle.
#
#   sh tests/check_layers.sh          plant violations, see them found, then check the tree
#   sh tests/check_layers.sh DIR      check the tree in DIR
#
# A module is NAME.c with NAME.h; includes are project headers, written from the root in quotes, and
# outside headers in <>. The headers of libc and the compiler are free to all, but for those of the
# network. The first row that matches a file is its law. A circle is one of modules, not only of
# headers; but X_PART.c, a part of module X, may use X.h while X.c uses X_PART.h.
set -eu
LC_ALL=C
export LC_ALL

rules() {
    cat <<'TABLE'
# file                  project headers                            outside headers
lib/base/json.*         lib/base/                                  jansson.h
lib/base/conf.c         lib/base/                                  confuse.h
lib/base/crypto.c       lib/base/                                  openssl/
lib/base/zone.c         lib/base/                                  glib.h
lib/base/*              lib/base/
lib/net/tls.c           lib/                                       network event2/ openssl/
lib/net/pki.c           lib/                                       network openssl/
lib/net/http2.c         lib/                                       network event2/ nghttp2/
lib/net/redis*.c        lib/                                       network event2/ hiredis/
lib/net/*               lib/                                       network event2/
billing/*               lib/base/ lib/net/redis.h billing/         zstd.h
backends/*              lib/ backends/                             jansson.h
gateway/*               lib/ backends/ billing/ gateway/           network jansson.h
tests/base/*            lib/base/ tests/base/                      network jansson.h check.h
tests/net/*             lib/ tests/base/ tests/net/                 network jansson.h check.h
tests/backends/*        lib/ backends/ tests/base/ tests/backends/  network jansson.h check.h
tests/billing/*         lib/ billing/ tests/base/ tests/billing/    network jansson.h check.h hiredis/
tests/gateway/*         lib/ backends/ billing/ gateway/ tests/    network jansson.h check.h
tests/fuzz/*            lib/ backends/ billing/ gateway/ tests/fuzz/
tests/chaos/*           tests/chaos/
tests/bench/*           lib/ billing/ tests/bench/
TABLE
}

libc='assert.h ctype.h errno.h float.h inttypes.h limits.h locale.h math.h setjmp.h signal.h
    stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h
    string.h time.h wchar.h dirent.h dlfcn.h endian.h fcntl.h fnmatch.h ftw.h getopt.h glob.h grp.h
    libgen.h poll.h pthread.h pwd.h sched.h spawn.h strings.h syslog.h termios.h unistd.h
    linux/ sys/ emmintrin.h immintrin.h nmmintrin.h'
network='net/ netinet/ arpa/ netdb.h resolv.h sys/socket.h sys/un.h'

# Prints FILE and what it includes ("lib/base/buf.h" or <stdio.h>), a line each.
list_includes() {
    find lib backends billing gateway tests -name '*.[ch]' 2>/dev/null | sort |
        while read -r file; do
            sed -n "s|^[[:space:]]*#[[:space:]]*include[[:space:]]*|$file |p" "$file"
        done
}

# Prints a sentence for each of the includes that the rules do not allow.
find_violations() {
    awk -v libc="$libc" -v network="$network" '
        function is_in(name, list,    words, n, i) {
            n = split(list, words)
            for (i = 1; i <= n; i++) {
                if (words[i] == "network" && is_in(name, network))
                    return 1
                if (words[i] ~ /\/$/ ? index(name, words[i]) == 1 : name == words[i])
                    return 1
            }
            return 0
        }
        function matches(file, pattern) {
            gsub(/\./, "\\.", pattern)
            gsub(/\*/, ".*", pattern)
            return file ~ ("^" pattern "$")
        }
        function say(text) { print file ": " text }

        NR == FNR {
            if ($1 == "#")
                next
            pattern[++rows] = $1
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^(lib|backends|billing|gateway|tests)\//)
                    project[rows] = project[rows] " " $i
                else
                    outside[rows] = outside[rows] " " $i
            }
            next
        }
        {
            file = $1
            name = substr($2, 2, length($2) - 2)
            for (row = 1; row <= rows && !matches(file, pattern[row]); row++)
                ;
            if (row > rows) {
                say("no row of the table names this file")
            } else if ($2 ~ /^".*"$/) {
                if (name !~ /\.h$/)
                    say("includes " name ", which is no header")
                else if (!is_in(name, project[row]))
                    say("may not include " name)
                else if ((getline ignored < name) < 0)
                    say("includes " name ", which does not exist")
            } else if ($2 ~ /^<.*>$/) {
                if (is_in(name, network) ? !is_in(name, outside[row]) \
                                         : !is_in(name, libc) && !is_in(name, outside[row]))
                    say("may not include <" name ">")
            } else {
                say("include that cannot be read: " $2)
            }
        }' "$paper/rules" "$paper/includes"
}

# Prints tsort's words for each circle of modules.
find_cycles() {
    sed -n 's|^\([^ ]*\)\.[ch] "\(.*\)\.h".*|\1 \2|p' "$paper/includes" | sort -u |
        awk 'index($1, $2 "_") != 1' |
        tsort 2>&1 >/dev/null || :
}

check_tree() {
    (
        cd "$1"
        paper=$(mktemp -d)
        trap 'rm -rf "$paper"' EXIT
        rules >"$paper/rules"
        list_includes >"$paper/includes"
        bad=$(find_violations; find_cycles)
        [ -z "$bad" ] || { printf '%s\n' "$bad"; exit 1; }
        echo "the include law holds for $(cut -d' ' -f1 "$paper/includes" | sort -u | wc -l) files"
    )
}

# Checks a small lawful tree, then the same with LINE added to FILE, which must be found: WORDS.
plant() {
    file=$1 line=$2 words=$3
    rm -rf "$garden/tree"
    mkdir -p "$garden/tree/lib/base" "$garden/tree/lib/net" "$garden/tree/billing" \
        "$garden/tree/backends" "$garden/tree/gateway" "$garden/tree/tests/base"
    (
        cd "$garden/tree"
        echo '#include <stdint.h>' >lib/base/buf.h
        printf '#include "lib/base/buf.h"\n#include "lib/base/buf_part.h"\n' >lib/base/buf.c
        echo '#include "lib/base/buf.h"' >lib/base/buf_part.h
        printf '#include "lib/base/buf.h"\n#include <event2/event.h>\n' >lib/net/loop.h
        printf '#include "lib/net/loop.h"\n#  include <sys/socket.h>\n' >lib/net/loop.c
        printf '#include "lib/base/buf.h"\n#include <zstd.h>\n' >billing/money.h
        echo '#include "lib/net/loop.h"' >backends/echo.h
        printf '#include "billing/money.h"\n#include "backends/echo.h"\n' >gateway/meter.c
        printf '#include "lib/base/buf.h"\n#include <check.h>\n' >tests/base/test_buf.c
    )
    check_tree "$garden/tree" >"$garden/said" || {
        echo "self-test: a lawful tree was refused:"
        cat "$garden/said"
        exit 1
    }
    mkdir -p "$(dirname "$garden/tree/$file")"
    echo "$line" >>"$garden/tree/$file"
    if check_tree "$garden/tree" >"$garden/said" || ! grep -qF -- "$words" "$garden/said"; then
        echo "self-test: '$line' in $file was not found out; it said:"
        cat "$garden/said"
        exit 1
    fi
}

self_test() {
    garden=$(mktemp -d)
    trap 'rm -rf "$garden"' EXIT
    plant lib/base/buf.c '#include "lib/net/loop.h"' 'may not include lib/net/loop.h'
    plant billing/money.h '#include "backends/echo.h"' 'may not include backends/echo.h'
    plant billing/money.h '#include "lib/net/loop.h"' 'may not include lib/net/loop.h'
    plant backends/echo.h ' #  include "billing/money.h"' 'may not include billing/money.h'
    plant lib/net/loop.c '#include "gateway/x.h"' 'may not include gateway/x.h'
    plant tests/base/test_buf.c '#include "lib/net/loop.h"' 'may not include lib/net/loop.h'
    plant lib/base/buf.c '#include <openssl/evp.h>' 'may not include <openssl/evp.h>'
    plant lib/base/buf.c '#include <sys/socket.h>' 'may not include <sys/socket.h>'
    plant gateway/meter.c '#include <zstd.h>' 'may not include <zstd.h>'
    plant gateway/meter.c '#include <event2/event.h>' 'may not include <event2/event.h>'
    plant backends/echo.h '#include <curl/curl.h>' 'may not include <curl/curl.h>'
    plant lib/base/buf.c '#include "buf.h"' 'may not include buf.h'
    plant lib/base/buf.c '#include "lib/base/gone.h"' 'which does not exist'
    plant lib/base/buf.c '#include "lib/base/buf.c"' 'which is no header'
    plant lib/base/buf.c '#include HEADER' 'include that cannot be read'
    plant lib/other/a.c '#include <stdio.h>' 'no row of the table names this file'

    # Two circles: between headers, and one that closes only through a source.
    plant_cycle lib/base/buf.h '#include "lib/base/text.h"'
    plant_cycle lib/base/buf.c '#include "lib/base/text.h"'
    echo "self-test: every planted violation was found"
}

# Adds a module that includes buf.h, lets buf include it, and expects the circle to be named.
plant_cycle() {
    plant lib/base/text.h '#include "lib/net/loop.h"' 'may not include'
    echo '#include "lib/base/buf.h"' >"$garden/tree/lib/base/text.h"
    check_tree "$garden/tree" >"$garden/said" || { cat "$garden/said"; exit 1; }
    echo "$2" >>"$garden/tree/$1"
    if check_tree "$garden/tree" >"$garden/said" || ! grep -q 'lib/base/text' "$garden/said"; then
        echo "self-test: a circle through $1 was not found; it said:"
        cat "$garden/said"
        exit 1
    fi
}

if [ $# -gt 0 ]; then
    check_tree "$1"
else
    self_test
    check_tree "$(dirname "$0")/.."
fi
