/* usage_view.h - what a client is shown of its own calls: everything that its bill is made of, nothing of how it is shared out. */
#ifndef TOLLGATE_GATEWAY_USAGE_VIEW_H
#define TOLLGATE_GATEWAY_USAGE_VIEW_H

#include "gateway/call_refunds.h"

/* {"object":"usage","request_id","account","key","model","price","units","provenance","amount","currency","outcome","started_at","ended_at","period"},
 * and with `refunds` (null: not asked) "refunded","refunds":[…] as call_refunds_write() has them. */
void usage_view_write(const struct event *e, const struct refund_set *refunds, struct jw *w);

#endif
