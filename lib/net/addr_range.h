/* addr_range.h - ranges of internet addresses, as in "10.0.0.0/8", "2001:db8::/32", or one address alone. */
#ifndef TOLLGATE_NET_ADDR_RANGE_H
#define TOLLGATE_NET_ADDR_RANGE_H

#include "lib/net/addr.h"

/* IPv4 stands in it as it does in IPv6: ::ffff:0:0/96. */
struct addr_range {
    unsigned char start[16];
    unsigned bits;
};

/* ERR_INPUT when it is none, or when bits are set beyond the prefix. */
bool addr_range_parse(const char *text, struct addr_range *out, struct err *err) MUST_USE;
/* An address of another family (a unix socket) is in no range. */
bool addr_range_has(const struct addr_range *r, const struct addr *a);

#endif
