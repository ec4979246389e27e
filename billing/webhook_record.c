/* webhook_record.c - names and entries. */
#include "billing/webhook_record.h"

#include <stdio.h>

#include "lib/base/text.h"

#define PREFIX "wh_"

const char *notices_name(const char *account, const char *day, char out[NOTICES_TEXT])
{
    snprintf(out, NOTICES_TEXT, "%s:%.*s", account, PERIOD_TEXT - 1, day);
    return out;
}

bool webhook_id_partition(const char *id, struct partition *out)
{
    uint64_t index;

    if (strlen(id) != WEBHOOK_ID_TEXT - 1 || strncmp(id, PREFIX, strlen(PREFIX)) != 0 ||
        !id_is_valid(span_of(id)) ||
        !digits_parse((struct span){id + strlen(PREFIX), 2}, PARTITIONS - 1, &index))
        return false;
    *out = (struct partition){SIDE_ACCOUNT, (unsigned)index};
    return true;
}

void webhook_made_write(const struct webhook_making *m, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "account", m->account);
    jw_string_member(&w, "id", m->id);
    jw_string_member(&w, "as", "made");
    jw_key(&w, "body");
    jw_object(&w);
    jw_string_member(&w, "account", m->account);
    jw_string_member(&w, "url", m->url);
    jw_object_end(&w);
    jw_time_member(&w, "at", m->at);
    jw_string_member(&w, "op", m->op);
    jw_object_end(&w);
}

void webhook_ended_write(const struct webhook_ending *e, struct buf *out)
{
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "account", e->account);
    jw_string_member(&w, "id", e->id);
    jw_string_member(&w, "as", "ended");
    jw_key(&w, "body");
    jw_object(&w);
    jw_string_member(&w, "why", e->is_gone ? "gone" : "deleted");
    jw_object_end(&w);
    jw_time_member(&w, "at", e->at);
    if (e->op)
        jw_string_member(&w, "op", e->op);
    jw_object_end(&w);
}

void notice_raised_write(const struct notice_raising *r, struct buf *out)
{
    char month[PERIOD_TEXT];
    struct jw w;

    snprintf(month, sizeof month, "%.*s", PERIOD_TEXT - 1, r->period);
    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "account", r->account);
    jw_string_member(&w, "id", r->id);
    jw_string_member(&w, "period", month);
    jw_string_member(&w, "as", "raised");
    jw_key(&w, "body");
    jw_raw(&w, r->body);
    jw_time_member(&w, "at", r->at);
    jw_object_end(&w);
}

void notice_done_write(const struct notice_done *d, struct buf *out)
{
    char id[ID_TEXT];
    struct jw w;

    snprintf(id, sizeof id, "%s.%s", d->notice, d->webhook);
    jw_init(&w, out);
    jw_object(&w);
    jw_string_member(&w, "account", d->account);
    jw_string_member(&w, "id", id);
    jw_string_member(&w, "period", d->month);
    jw_string_member(&w, "as", "done");
    jw_key(&w, "body");
    jw_object(&w);
    jw_string_member(&w, "result", d->is_delivered ? "delivered" : "given_up");
    jw_int_member(&w, "status", d->status);
    jw_object_end(&w);
    jw_time_member(&w, "at", d->at);
    jw_object_end(&w);
}

/* "at writer n body". */
bool first_entry_read(struct span entry, struct first_entry *out)
{
    struct span rest = entry;

    for (int word = 0; word < 3; word++) {
        const char *blank = memchr(rest.data, ' ', rest.len);
        struct span text = {rest.data, blank ? (size_t)(blank - rest.data) : 0};

        if (!blank || (word == 0 && !int64_parse(text, &out->at)) ||
            (word == 2 && !int64_parse(text, &out->n)))
            return false;
        rest = (struct span){blank + 1, rest.len - text.len - 1};
    }
    out->body = rest;
    return rest.len > 0;
}
