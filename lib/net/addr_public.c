/* addr_public.c - two tables. IPv4 addresses stand in IPv6 as ::ffff:0:0/96, so one that is written so is judged alike. */
#include "lib/net/addr_public.h"

#include <assert.h>

#include "lib/net/addr_range.h"

static const char *const nowhere[] = {
    "0.0.0.0/8", "224.0.0.0/4", "255.255.255.255", "::", "ff00::/8", NULL,
};
static const char *const special[] = {
    "10.0.0.0/8",      "100.64.0.0/10",
    "127.0.0.0/8",     "169.254.0.0/16",
    "172.16.0.0/12",   "192.0.0.0/24",
    "192.0.2.0/24",    "192.88.99.0/24",
    "192.168.0.0/16",  "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24",
    "240.0.0.0/4",     "::1",
    "64:ff9b::/96",    "64:ff9b:1::/48",
    "100::/64",        "2001::/23",
    "2001:db8::/32",   "2002::/16",
    "3fff::/20",       "5f00::/16",
    "fc00::/7",        "fe80::/10",
    "fec0::/10",       NULL,
};

static bool is_in(const char *const *ranges, const struct addr *a);

bool addr_is_public(const struct addr *a)
{
    return a->u.any.sa_family != AF_UNIX && !is_in(nowhere, a) && !is_in(special, a);
}

bool addr_is_nowhere(const struct addr *a)
{
    return is_in(nowhere, a);
}

static bool is_in(const char *const *ranges, const struct addr *a)
{
    struct addr_range range;

    for (; *ranges; ranges++) {
        bool is_range = addr_range_parse(*ranges, &range, NULL);

        assert(is_range);
        if (is_range && addr_range_has(&range, a))
            return true;
    }
    return false;
}
