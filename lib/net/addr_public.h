/* addr_public.h - whether an address is the internet's: what is named by somebody who is not trusted must not lead to this
 * machine or into the networks behind it. */
#ifndef TOLLGATE_NET_ADDR_PUBLIC_H
#define TOLLGATE_NET_ADDR_PUBLIC_H

#include "lib/net/addr.h"

/* False of loopback, private, shared, link-local, multicast and reserved addresses, of those that translate to IPv4 ones
 * (NAT64, 6to4, Teredo), and of unix sockets. IANA's registries of special-purpose addresses (RFC 6890). */
bool addr_is_public(const struct addr *a);
/* Nobody can be meant by it: 0.0.0.0/8 and "::" (which lead to this machine), multicast, broadcast. */
bool addr_is_nowhere(const struct addr *a);

#endif
