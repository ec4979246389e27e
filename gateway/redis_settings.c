/* redis_settings.c - from options to the client's config, the same for every process. */
#include "gateway/redis_settings.h"

bool redis_settings_read(struct redis_settings *s, const struct options *o, size_t pending_max,
                         struct err *err)
{
    if (o->redis_password_file && !secret_read_file(&s->password, o->redis_password_file, err))
        return false;
    s->config = (struct redis_config){
        .address = o->redis,
        .password = o->redis_password_file ? &s->password : NULL,
        .user = o->redis_user,
        .tls_ca = o->redis_ca,
        .tls_name = o->redis_tls_name,
        .tls_certificate = o->redis_certificate,
        .tls_key = o->redis_certificate_key,
        .connect_ms = o->redis_timeout,
        .command_ms = o->redis_timeout,
        .pending_max = pending_max,
    };
    return true;
}

void redis_settings_clear(struct redis_settings *s)
{
    secret_clear(&s->password);
}
