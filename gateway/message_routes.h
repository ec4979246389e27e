/* message_routes.h - what belongs to Anthropic's surface beside the messages themselves. */
#ifndef TOLLGATE_GATEWAY_MESSAGE_ROUTES_H
#define TOLLGATE_GATEWAY_MESSAGE_ROUTES_H

#include "gateway/route.h"

/* Free, and an estimate: a token for four bytes of the body, which is what a call without any number of its provider is charged. */
void count_tokens_post(void *server, struct http_request *r, const struct route_match *match);

#endif
