/* options_backend.c - from options to a backend's config. */
#include "gateway/options_backend.h"

bool options_backend_read(struct options_backend *s, const struct options *o,
                          const struct backend_options *b, struct err *err)
{
    if (b->key_file && !secret_read_file(&s->key, b->key_file, err))
        return false;
    s->config = (struct backend_config){
        .kind = b->kind,
        .url = b->url,
        .key = b->key_file ? &s->key : NULL,
        .ca_file = b->ca_file,
        .connect_ms = b->connect_timeout,
        .first_byte_ms = b->first_byte_timeout,
        .between_bytes_ms = b->idle_timeout,
        .total_ms = b->total_timeout,
        .reply_bytes_max = o->reply_bytes,
        .event_bytes_max = o->event_bytes,
        .idle_max = b->keepalive_connections,
        .idle_ms = b->keepalive_idle,
        .delay_ms = b->delay,
    };
    return true;
}

void options_backend_clear(struct options_backend *s)
{
    secret_clear(&s->key);
}
