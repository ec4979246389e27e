/* threshold.c - a crossing's id is a digest of what makes it one, so that whoever raises it again raises the same. */
#include "billing/threshold.h"

#include <assert.h>
#include <stdio.h>

#include "lib/base/crypto.h"

#define DIGEST_MAX 1024

const unsigned threshold_percents[THRESHOLDS] = {80, 95, 100};

bool threshold_is_reached(int64_t spent, int64_t budget, unsigned percent)
{
    return (int128)spent * 100 >= (int128)budget * percent;
}

void crossing_id(const struct crossing *c, const char *installation, char out[NOTICE_ID_TEXT])
{
    AUTO_CLEAR(buf) text = {.max = DIGEST_MAX};
    char hex[SHA256_HEX];

    buf_printf(&text, "%s\n%s\n%s\n%s\n%s\n%u\n%lld\n%s", installation, c->account,
               c->key ? c->key : "", c->model ? c->model : "", c->period, c->percent,
               (long long)c->budget, c->currency);
    assert(!text.failed);
    sha256_hex(text.data, text.len, hex);
    snprintf(out, NOTICE_ID_TEXT, "msg_%.32s", hex);
}

void crossing_write(const struct crossing *c, int64_t at, struct buf *out)
{
    char budget[DECIMAL_TEXT], spent[DECIMAL_TEXT];
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "type", "budget.threshold_reached");
    jw_time_member(&w, "timestamp", at);
    jw_key(&w, "data");
    jw_object(&w);
    jw_string_member(&w, "account", c->account);
    jw_string_member(&w, "scope", c->key ? "key" : c->model ? "model" : "account");
    if (c->key)
        jw_string_member(&w, "key", c->key);
    if (c->model)
        jw_string_member(&w, "model", c->model);
    jw_string_member(&w, "window", strlen(c->period) < DAY_TEXT - 1 ? "month" : "day");
    jw_string_member(&w, "period", c->period);
    jw_int_member(&w, "threshold", c->percent);
    jw_string_member(&w, "budget", decimal_format(c->budget, budget));
    jw_string_member(&w, "spent", decimal_format(c->spent, spent));
    jw_string_member(&w, "currency", c->currency);
    jw_object_end(&w);
    jw_object_end(&w);
}
