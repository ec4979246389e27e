/* console_routes.h - the console's two tables: /api/v1 over TLS, and the admin API on admin.sock. Handlers get the struct console. */
#ifndef TOLLGATE_GATEWAY_CONSOLE_ROUTES_H
#define TOLLGATE_GATEWAY_CONSOLE_ROUTES_H

#include "gateway/route.h"

extern const struct route console_routes[];
extern const size_t console_route_count;
extern const struct route admin_routes[];
extern const size_t admin_route_count;

#endif
