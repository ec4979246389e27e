/* finance_routes.c - closed months from their bundles, those that are not closed from Redis, one
 * after the other. */
#include "gateway/finance_routes.h"

#include <stdlib.h>

#include "billing/archive.h"
#include "billing/bundle.h"
#include "billing/closes.h"
#include "billing/settlement.h"
#include "gateway/console_state.h"
#include "gateway/file_reply.h"
#include "gateway/model_sums.h"
#include "gateway/service.h"
#include "lib/base/mem.h"

#define ANSWER_MAX ((size_t)64 * 1024 * 1024)

/* A list on its way: months from `next` back to `first`. */
struct listing {
    struct console *console;
    struct http_request *request;
    struct period *period; /* all, in order */
    size_t left;           /* those that are not written yet */
    struct buf json;
    struct jw w;
};

static bool list_periods(struct listing *l, struct err *err);
static bool first_period(const char *archive, struct period *out, struct err *err);
static void write_next(struct listing *l);
static bool write_closed(struct listing *l, struct period p, struct err *err);
static void write_file_sums(const struct manifest_file *f, struct jw *w);
static void write_bundle(const struct manifest *m, struct jw *w);
static void write_file(const char *name, const struct file_digest *digest, struct jw *w);
static void on_sums(void *arg, const struct model_sums *sums, const struct err *err);
static void write_currencies(const struct model_sums *sums, struct jw *w);
static void listing_end(struct listing *l, const struct err *err);
static char *find_closed(struct console *c, struct http_request *r, const char *text) MUST_USE;
static void write_lines(struct span text, struct jw *w);
static const char *file_type(const char *name);

void finance_periods_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct listing *l = xcalloc(1, sizeof *l);
    struct err err;

    (void)match;
    l->console = server;
    request_keep(r, &l->request);
    buf_init(&l->json, ANSWER_MAX);
    jw_init(&l->w, &l->json);
    if (!list_periods(l, &err)) {
        listing_end(l, &err);
        return;
    }
    jw_object(&l->w);
    jw_string_member(&l->w, "zone", l->console->options->zone);
    jw_key(&l->w, "periods");
    jw_array(&l->w);
    write_next(l);
}

/* From the first that any writer knows to the one that runs. */
static bool list_periods(struct listing *l, struct err *err)
{
    struct period last = period_of(clock_now()), p = last;
    size_t room = 0;

    if (!first_period(l->console->options->archive, &p, err))
        return false;
    for (; period_compare(p, last) <= 0; p = period_next(p)) {
        if (l->left == room)
            l->period = xrealloc_array(l->period, room = 2 * room + 12, sizeof *l->period);
        l->period[l->left++] = p;
    }
    return true;
}

static bool first_period(const char *archive, struct period *out, struct err *err)
{
    struct archive_writer *writers;
    size_t count;

    if (!archive_writers(archive, &writers, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (period_compare(writers[i].first_period, *out) < 0)
            *out = writers[i].first_period;
    free(writers);
    return true;
}

static void write_next(struct listing *l)
{
    struct period p;
    struct err err;

    while (l->left > 0) {
        p = l->period[--l->left];
        if (!close_exists(l->console->options->archive, p)) {
            model_sums_read(l->console->ledger.redis, NULL, p, on_sums, l);
            return;
        }
        if (!write_closed(l, p, &err)) {
            listing_end(l, &err);
            return;
        }
    }
    jw_array_end(&l->w);
    jw_object_end(&l->w);
    listing_end(l, NULL);
}

static void write_head(struct listing *l, struct period p, enum settlement_state state,
                       int64_t calls)
{
    jw_object(&l->w);
    jw_string_member(&l->w, "period", p.text);
    jw_string_member(&l->w, "state", settlement_state_name(state));
    jw_int_member(&l->w, "calls", calls);
    jw_key(&l->w, "currencies");
    jw_array(&l->w);
}

static void write_sums(struct jw *w, const char *currency, int128 gross, int128 refunded)
{
    char text[DECIMAL_TEXT];

    jw_object(w);
    jw_string_member(w, "currency", currency);
    jw_string_member(w, "gross", decimal_format(gross, text));
    jw_string_member(w, "refunded", decimal_format(refunded, text));
    jw_object_end(w);
}

/* ------------------------------------------------------------------ closed */

static bool write_closed(struct listing *l, struct period p, struct err *err)
{
    AUTO_STRING dir = close_dir(l->console->options->archive, p);
    AUTO_CLEAR(buf) text = {.max = MANIFEST_BYTES_MAX};
    unsigned char signature[ED25519_SIGNATURE_LEN];
    AUTO_CLEAR(manifest) m;
    int64_t calls = 0;

    manifest_init(&m);
    if (!manifest_read(dir, &m, &text, signature, err))
        return false;
    for (size_t i = 0; i < m.writer_count; i++)
        calls += m.writers[i].totals.events;
    write_head(l, p, SETTLEMENT_CLOSED, calls);
    write_file_sums(&m.files[BUNDLE_EVENTS], &l->w);
    jw_array_end(&l->w);
    write_bundle(&m, &l->w);
    jw_object_end(&l->w);
    return true;
}

static void write_file_sums(const struct manifest_file *f, struct jw *w)
{
    for (size_t i = 0; i < sum_table_count(f->refunds); i++)
        sum_table_row(f->sums, span_of(sum_table_at(f->refunds, i)->name));
    sum_table_sort(f->sums);
    for (size_t i = 0; i < sum_table_count(f->sums); i++) {
        const struct sum *gross = sum_table_at(f->sums, i);
        const struct sum *refunded = sum_table_find(f->refunds, span_of(gross->name));

        write_sums(w, gross->name, gross->nanos, refunded ? refunded->nanos : 0);
    }
}

static void write_bundle(const struct manifest *m, struct jw *w)
{
    jw_key(w, "bundle");
    jw_object(w);
    jw_time_member(w, "created_at", m->created_at);
    jw_bool_member(w, "testing", m->testing);
    jw_string_member(w, "key_id", m->key_id);
    jw_int_member(w, "writers", (int64_t)m->writer_count);
    jw_int_member(w, "statements", m->files[BUNDLE_STATEMENTS_CSV].rows);
    jw_key(w, "files");
    jw_array(w);
    for (enum bundle_file f = 0; f < BUNDLE_FILES; f++)
        write_file(bundle_file_name(f), &m->files[f].digest, w);
    write_file(MANIFEST_NAME, NULL, w);
    write_file(SIGNATURE_NAME, NULL, w);
    jw_array_end(w);
    jw_object_end(w);
}

/* What the manifest does not list has no digest. */
static void write_file(const char *name, const struct file_digest *digest, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "name", name);
    if (digest) {
        jw_int_member(w, "bytes", (int64_t)digest->bytes);
        jw_string_member(w, "sha256", digest->sha256);
    }
    jw_object_end(w);
}

/* ------------------------------------------------------------------ not closed */

static void on_sums(void *arg, const struct model_sums *sums, const struct err *err)
{
    struct listing *l = arg;
    int64_t calls = 0;
    bool is_over;

    if (err || !l->request) {
        listing_end(l, err);
        return;
    }
    for (size_t i = 0; i < sums->sold.count; i++)
        calls += sums->sold.row[i].calls;
    is_over = period_compare(sums->period, period_of(clock_now())) < 0;
    write_head(l, sums->period, is_over ? SETTLEMENT_OVER : SETTLEMENT_OPEN, calls);
    write_currencies(sums, &l->w);
    jw_array_end(&l->w);
    jw_object_end(&l->w);
    write_next(l);
}

static void write_currencies(const struct model_sums *sums, struct jw *w)
{
    AUTO(sum_table) gross = sum_table_new();
    AUTO(sum_table) refunded = sum_table_new();

    for (size_t i = 0; i < sums->sold.count; i++)
        sum_table_row(gross, span_of(sums->sold.row[i].currency))->nanos += sums->sold.row[i].nanos;
    for (size_t i = 0; i < sums->returned.count; i++) {
        const struct earning_row *row = &sums->returned.row[i];

        if (period_compare(row->period, sums->period) != 0)
            continue;
        sum_table_row(gross, span_of(row->currency));
        sum_table_row(refunded, span_of(row->currency))->nanos += row->nanos;
    }
    sum_table_sort(gross);
    for (size_t i = 0; i < sum_table_count(gross); i++) {
        const struct sum *row = sum_table_at(gross, i);
        const struct sum *back = sum_table_find(refunded, span_of(row->name));

        write_sums(w, row->name, row->nanos, back ? back->nanos : 0);
    }
}

static void listing_end(struct listing *l, const struct err *err)
{
    reply_found(l->request, &l->json, err);
    free(l->period);
    buf_clear(&l->json);
    free(l);
}

/* ------------------------------------------------------------------ one bundle */

void finance_statements_get(void *server, struct http_request *r, const struct route_match *match)
{
    AUTO_STRING dir = find_closed(server, r, match->value[0]);
    AUTO_CLEAR(buf) text = {.max = BUNDLE_TEXT_MAX};
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    char manifest_sha256[SHA256_HEX];
    struct err err;
    struct jw w;

    if (!dir)
        return;
    if (!bundle_read_listed(dir, BUNDLE_STATEMENTS_JSONL, &text, manifest_sha256, &err)) {
        reply_err(r, &err);
        return;
    }
    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "period", match->value[0]);
    jw_key(&w, "statements");
    write_lines(buf_span(&text), &w);
    jw_object_end(&w);
    reply_built(r, &json);
}

/* The bundle's directory; null, having answered, when there is none. The caller frees. */
static char *find_closed(struct console *c, struct http_request *r, const char *text)
{
    struct period p;
    struct err err;

    if (!period_parse(span_of(text), &p, &err)) {
        reply_err(r, &err);
        return NULL;
    }
    if (close_exists(c->options->archive, p))
        return close_dir(c->options->archive, p);
    reply_problem(r, CALLER_NOT_FOUND,
                  "The month %s is not closed; 'tollgate settle close %s' closes it", p.text,
                  p.text);
    return NULL;
}

static void write_lines(struct span text, struct jw *w)
{
    jw_array(w);
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t n = end ? (size_t)(end - text.data) : text.len;

        jw_raw(w, (struct span){text.data, n});
        n += end != NULL;
        text = (struct span){text.data + n, text.len - n};
    }
    jw_array_end(w);
}

void finance_file_get(void *server, struct http_request *r, const struct route_match *match)
{
    AUTO_STRING dir = find_closed(server, r, match->value[0]);
    AUTO_STRING path = NULL;
    AUTO_STRING name = NULL;
    struct err err;

    if (!dir)
        return;
    if (!bundle_has_name(match->value[1])) {
        reply_problem(r, CALLER_NOT_FOUND, "A bundle has no file '%s'", match->value[1]);
        return;
    }
    path = path_join(dir, match->value[1]);
    name = xasprintf("tollgate-%s-%s", match->value[0], match->value[1]);
    if (!file_reply(r, path, name, file_type(name), &err))
        reply_err(r, &err);
}

static const char *file_type(const char *name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        {".csv", "text/csv; charset=utf-8"},
        {".jsonl", "application/jsonl"},
        {".json", "application/json"},
    };
    const char *ending = strrchr(name, '.');

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (ending && strcmp(ending, types[i].ending) == 0)
            return types[i].type;
    return "application/octet-stream";
}
