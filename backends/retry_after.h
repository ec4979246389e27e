/* retry_after.h - how long a server that refused asks its clients to stay away. */
#ifndef TOLLGATE_BACKENDS_RETRY_AFTER_H
#define TOLLGATE_BACKENDS_RETRY_AFTER_H

#include "lib/net/http_head.h"

#define RETRY_AFTER_MS_MAX INT64_C(3600000)

/* "retry-after-ms", else "retry-after" in seconds or as a date (RFC 9110 section 10.2.3; counted from the reply's own Date
 * where it has one, so that the two machines' clocks may differ). At most RETRY_AFTER_MS_MAX; 0: it asks for nothing, or for
 * nothing that can be understood. */
int64_t retry_after_ms(const struct http_head *head);

#endif
