/* dev_catalogue.h - the demo catalogue, from the first day of the first period. */
#ifndef TOLLGATE_GATEWAY_DEV_CATALOGUE_H
#define TOLLGATE_GATEWAY_DEV_CATALOGUE_H

#include "lib/base/json.h"

#define DEV_ACCOUNT        "demo"
#define DEV_CREATOR        "demo"
#define DEV_CURRENCY       "CNY"
#define DEV_CREDIT         "100.00"
#define DEV_ECHO_MODEL     "demo/echo"
#define DEV_UPSTREAM_MODEL "demo/upstream"

/* `since`: RFC 3339. `upstream_model` null: demo/upstream is left out. The caller owns the result.
 */
json_t *dev_catalogue(const char *since, const char *upstream_model) MUST_USE;

#endif
