/* seal.c - a SEAL as JSON and back: what settlement compares the archive with, to the nano. */
#include "billing/seal.h"

bool seal_write(const struct seal *s, struct buf *json_body)
{
    struct jw w;

    jw_init(&w, json_body);
    jw_object(&w);
    jw_string_member(&w, "period", s->totals.period.text);
    jw_time_member(&w, "at", s->at);
    writer_totals_write(&s->totals, &w);
    jw_key(&w, "heads");
    record_heads_write(&s->heads, &w);
    jw_object_end(&w);
    return !json_body->failed;
}

bool seal_parse(struct span line, struct seal *out, struct err *err)
{
    AUTO_JSON object = NULL;
    struct record_head head;
    struct seal s = {0};
    const char *period, *at;

    if (!record_head_parse(line, &head, err))
        return false;
    if (head.kind != RECORD_SEAL)
        return err_set(err, ERR_CORRUPT, "a %s record is no seal", record_kind_name(head.kind));
    memcpy(s.writer, head.writer, WRITER_TEXT);
    object = json_parse(line, err);
    if (!object || !json_get_string(object, "period", &period, "seal", err) ||
        !json_get_string(object, "at", &at, "seal", err) ||
        !period_parse(span_of(period), &s.totals.period, err) ||
        !clock_parse(span_of(at), &s.at, err) || !writer_totals_parse(object, &s.totals, err) ||
        !record_heads_parse(json_object_get(object, "heads"), &s.heads, err))
        return err_context(err, "seal");
    *out = s;
    return true;
}
