/* redis_settings.h - how this installation's Redis is reached, as the config says. */
#ifndef TOLLGATE_GATEWAY_REDIS_SETTINGS_H
#define TOLLGATE_GATEWAY_REDIS_SETTINGS_H

#include "gateway/options.h"
#include "lib/net/redis.h"

struct redis_settings {
    struct secret password;
    struct redis_config config; /* points to the password and into the options */
};

/* Reads the password's file. It must not be moved in memory afterwards. */
bool redis_settings_read(struct redis_settings *s, const struct options *o, size_t pending_max,
                         struct err *err) MUST_USE;
void redis_settings_clear(struct redis_settings *s);

#endif
