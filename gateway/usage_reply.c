/* usage_reply.c - shapes that clients' programs read, in one place. */
#include "gateway/usage_reply.h"

#include "gateway/service.h"
#include "gateway/usage_view.h"
#include "lib/base/text.h"

#define LIST_LIMIT      20
#define LIST_LIMIT_MAX  1000
#define REPLY_BYTES_MAX (4 * 1024 * 1024)

static bool write_line(struct span line, struct jw *w, struct err *err);

bool usage_page_asked(struct http_request *r, struct usage_page *out)
{
    struct span query = http_request_query(r);
    char text[16] = "";
    uint64_t limit = LIST_LIMIT;

    *out = (struct usage_page){.before = ""};
    if (query_get(query, "limit", text, sizeof text) != QUERY_ABSENT &&
        (!digits_parse(span_of(text), LIST_LIMIT_MAX, &limit) || limit < 1)) {
        reply_bad_field(r, "limit", "'limit' must be from 1 to %d", LIST_LIMIT_MAX);
        return false;
    }
    if (query_get(query, "before", out->before, sizeof out->before) == QUERY_BAD) {
        reply_bad_field(r, "before", "'before' must be a request id");
        return false;
    }
    out->limit = (size_t)limit;
    return true;
}

void usage_reply_page(struct http_request *r, const struct span *lines, size_t count, bool has_more,
                      const struct err *err)
{
    AUTO_CLEAR(buf) json = {.max = REPLY_BYTES_MAX};
    struct err bad;
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "object", "list");
    jw_key(&w, "data");
    jw_array(&w);
    for (size_t i = 0; !err && i < count; i++)
        if (!write_line(lines[i], &w, &bad))
            err = &bad;
    jw_array_end(&w);
    jw_bool_member(&w, "has_more", has_more);
    jw_object_end(&w);
    reply_found(r, &json, err);
}

static bool write_line(struct span line, struct jw *w, struct err *err)
{
    AUTO_JSON record = json_parse(line, err);
    struct event e;

    if (!record || !event_parse(record, &e, err))
        return false;
    usage_view_write(&e, NULL, w);
    return true;
}
