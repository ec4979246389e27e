/* model_routes.h - GET /v1/models and /v1/models/{id}, in OpenAI's shape with price and card added. */
#ifndef TOLLGATE_GATEWAY_MODEL_ROUTES_H
#define TOLLGATE_GATEWAY_MODEL_ROUTES_H

#include "gateway/route.h"

void models_get(void *server, struct http_request *r, const struct route_match *match);
void model_get(void *server, struct http_request *r, const struct route_match *match);

#endif
