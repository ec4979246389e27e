/* api_routes.h - the routes of a worker: what clients call. Handlers get the worker's struct server. */
#ifndef TOLLGATE_GATEWAY_API_ROUTES_H
#define TOLLGATE_GATEWAY_API_ROUTES_H

#include "gateway/route.h"

extern const struct route api_routes[];
extern const size_t api_route_count;

#endif
