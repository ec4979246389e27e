/* webhook_url.h - where webhooks may go. A URL comes from whoever an account's owner trusts, and is called from inside: so it
 * must not lead to this machine or into the networks behind it.
 *
 * https only, to any port, without user, password and fragment. What its host means is looked up at each attempt, and each
 * address is judged before it is connected to (addr_public.h); redirects are not followed. Where the config permits private
 * addresses, they are taken too, and http to a loopback address. */
#ifndef TOLLGATE_GATEWAY_WEBHOOK_URL_H
#define TOLLGATE_GATEWAY_WEBHOOK_URL_H

#include "lib/base/buf.h"
#include "lib/net/addr.h"

#define WEBHOOK_URL_MAX 1024

/* "https://example.com:8443/hooks?x=1" in two: origin and target, which begins with '/'. */
struct webhook_url {
    char origin[WEBHOOK_URL_MAX + 1], target[WEBHOOK_URL_MAX + 2];
};
/* ERR_INPUT with what is wrong with it. */
bool webhook_url_parse(const char *text, bool private_too, struct webhook_url *out,
                       struct err *err) MUST_USE;
bool webhook_may_connect(const struct addr *to, bool private_too);

#endif
