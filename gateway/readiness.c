/* readiness.c - a worker is ready when a call sent to it now would be admitted, were it in credit.
 *
 * All hosts have the same partitions, so one that is parked, moved or being rebuilt makes no host better than another: only
 * when no account's partition admits is there nothing to send calls for. */
#include "gateway/readiness.h"

#include "gateway/service.h"

const char *readiness_reason(const struct server *s)
{
    if (s->draining)
        return "shutting down";
    if (!s->ledger.journal)
        return "no journal directory can be opened";
    if (s->ledger.is_stopped)
        return "Redis contradicts the journal, and an operator must look";
    if (!redis_is_partly_ready(s->ledger.redis))
        return "Redis can't be reached";
    if (!projection_is_recovered(s->ledger.projection) || !projection_admits(s->ledger.projection))
        return "Redis is being brought up to the journals";
    if (!s->ledger.catalogue)
        return "the catalogue has not been read yet";
    return NULL;
}

bool readiness_has_catalogue(const struct ledger *l, struct http_request *r)
{
    if (!l->catalogue)
        reply_problem(r, GATEWAY_RECOVERING,
                      "The catalogue has not been read yet; retry in a few seconds");
    return l->catalogue != NULL;
}
