/* unended_calls.c - who is looked for stands sorted, so each record that ended a call is one search. */
#include "billing/unended_calls.h"

#include <stdlib.h>

#include "billing/archive.h"
#include "billing/archive_file.h"
#include "lib/base/mem.h"

#define REQUEST_MEMBER "\"request_id\":\""

struct wanted {
    struct retired_call *calls; /* sorted by id */
    bool *has_ended;
    size_t count;
    int64_t first_ms, last_ms; /* when the first and the last of them began */
};

static int compare(const void *a, const void *b);
static void sort_once(struct wanted *w);
static bool read_archive(struct wanted *w, const char *archive, const char *writer,
                         struct err *err);
static bool may_have(const struct wanted *w, const struct archive_header *h);
static void take_line(struct wanted *w, struct span line);

bool unended_calls_keep(const char *archive, const char *writer, const struct saved_lines *lines,
                        struct retired_call *calls, size_t *count, struct err *err)
{
    struct wanted w = {.calls = calls, .count = *count};
    size_t kept = 0;
    bool ok;

    if (!*count)
        return true;
    sort_once(&w);
    w.has_ended = xcalloc(w.count, sizeof *w.has_ended);
    for (size_t i = 0; i < lines->count; i++)
        take_line(&w, lines->at[i]);
    ok = read_archive(&w, archive, writer, err);
    for (size_t i = 0; i < w.count; i++)
        if (!w.has_ended[i])
            calls[kept++] = calls[i];
    free(w.has_ended);
    if (ok)
        *count = kept;
    return ok;
}

static int compare(const void *a, const void *b)
{
    const struct retired_call *x = a, *y = b;

    return strcmp(x->request_id, y->request_id);
}

static void sort_once(struct wanted *w)
{
    size_t unique = 0;

    qsort(w->calls, w->count, sizeof *w->calls, compare);
    for (size_t i = 0; i < w->count; i++) {
        int64_t ms = request_id_ms(w->calls[i].request_id);

        if (unique && compare(&w->calls[unique - 1], &w->calls[i]) == 0)
            continue;
        w->first_ms = unique == 0 || ms < w->first_ms ? ms : w->first_ms;
        w->last_ms = ms > w->last_ms ? ms : w->last_ms;
        w->calls[unique++] = w->calls[i];
    }
    w->count = unique;
}

static bool read_archive(struct wanted *w, const char *archive, const char *writer, struct err *err)
{
    AUTO(archive_reader) r = archive_reader_open(archive, writer, err);
    struct record_head head;
    struct span line;
    uint32_t crc;
    int got = r ? 1 : -1;

    while (got == 1 && (got = archive_reader_enter(r, err)) == 1) {
        if (!may_have(w, archive_reader_header(r))) {
            archive_reader_pass(r);
            continue;
        }
        while ((got = archive_reader_line(r, &head, &line, &crc, err)) == 1)
            if (head.kind == RECORD_CALL)
                take_line(w, line);
        got = got == 0 ? 1 : got;
    }
    return got == 0;
}

static bool may_have(const struct wanted *w, const struct archive_header *h)
{
    return h->calls > 0 && h->first_request_ms <= w->last_ms && h->last_request_ms >= w->first_ms;
}

static void take_line(struct wanted *w, struct span line)
{
    const char *found = memmem(line.data, line.len, REQUEST_MEMBER, strlen(REQUEST_MEMBER));
    const char *id = found ? found + strlen(REQUEST_MEMBER) : NULL;
    const char *end = id ? memchr(id, '"', line.len - (size_t)(id - line.data)) : NULL;
    struct retired_call key, *call;

    if (!end ||
        !span_copy((struct span){id, (size_t)(end - id)}, key.request_id, sizeof key.request_id))
        return;
    call = bsearch(&key, w->calls, w->count, sizeof key, compare);
    if (call)
        w->has_ended[call - w->calls] = true;
}
