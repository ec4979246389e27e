/* settlement_fixture.c - see the header. The records are composed by record.h, the files by
 * zstd_file.h: what is tested is who reads them. */
#include "tests/billing/settlement_fixture.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "billing/archive_file.h"
#include "billing/closes.h"
#include "billing/seal.h"
#include "billing/zstd_file.h"
#include "lib/base/crc32c.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

#define SEGMENT_MAX (4 * 1024 * 1024)

static void copy_sums(const struct sum_table *from, struct sum_table *to)
{
    for (size_t i = 0; i < sum_table_count(from); i++) {
        const struct sum *s = sum_table_at(from, i);
        struct sum *row = sum_table_row(to, span_of(s->name));

        row->nanos = s->nanos;
        row->calls = s->calls;
    }
}

static bool read_ledger(void *arg, struct period p, struct ledger_sums *out, struct err *err)
{
    struct world *w = arg;

    if (w->redis_is_away)
        return err_set(err, ERR_UNAVAILABLE, "connection refused");
    (void)p;
    for (int side = 0; side < SIDES; side++) {
        copy_sums(w->redis.side[side], out->side[side]);
        copy_sums(w->redis.refunds[side], out->refunds[side]);
    }
    for (size_t i = 0; i < w->redis.suspense.kept; i++)
        reasons_add(&out->suspense, "%s", w->redis.suspense.sentence[i]);
    out->redis_time = clock_now() + w->redis_ahead;
    return true;
}

struct world *world_new(const char *now)
{
    struct world *w = xcalloc(1, sizeof *w);
    char top[] = "/tmp/tollgate-settlement-XXXXXX";

    ck_assert(clock_set_zone(WORLD_ZONE, NULL));
    world_clock(now);
    ck_assert_ptr_nonnull(mkdtemp(top));
    w->top = xstrdup(top);
    w->archive = path_join(top, "archive");
    w->key = signing_key_generate();
    ledger_sums_init(&w->redis);
    w->sources = (struct settlement_sources){.archive = w->archive,
                                             .installation = WORLD_INSTALLATION,
                                             .zone = WORLD_ZONE,
                                             .testing = true,
                                             .key = w->key,
                                             .read_ledger = read_ledger,
                                             .arg = w};
    ck_assert(dir_ensure(w->archive, 0755, NULL));
    return w;
}

void world_free(struct world *w)
{
    run_command("rm -rf %s", w->top);
    for (size_t i = 0; i < WORLD_WRITERS; i++)
        buf_clear(&w->writer[i].lines);
    ledger_sums_clear(&w->redis);
    signing_key_free(w->key);
    free(w->archive);
    free(w->top);
    free(w);
}

void world_clock(const char *now)
{
    int64_t at;

    ck_assert(clock_parse(span_of(now), &at, NULL));
    clock_set_offset(0);
    clock_set_offset(at - clock_now());
}

char *world_path(const struct world *w, const char *name)
{
    return path_join(w->top, name);
}

void world_close(struct world *w, const char *period)
{
    AUTO_CLEAR(settlement_report) report = {0};
    struct err err = {0};

    ck_assert_msg(settlement_close(&w->sources, period_text(period), NULL, &report, &err), "%s",
                  err.text);
    ck_assert(!report.was_kept);
    ck_assert_int_eq(report.state, SETTLEMENT_CLOSED);
}

void world_refuses(struct world *w, const char *period, const char *sentence)
{
    AUTO_CLEAR(settlement_report) report = {0};
    AUTO_CLEAR(buf) text = {.max = 65536};
    struct err err = {0};

    ck_assert(!settlement_close(&w->sources, period_text(period), NULL, &report, &err));
    ck_assert_int_eq(err.code, ERR_DENIED);
    settlement_report_text(&report, &text);
    ck_assert_msg(strstr(text.data, sentence), "not \"%s\" but: %s", sentence, text.data);
    ck_assert(!close_exists(w->archive, period_text(period)));
}

struct period period_text(const char *text)
{
    struct period p;

    ck_assert(period_parse(span_of(text), &p, NULL));
    return p;
}

void world_begin(struct world *w, unsigned writer, const char *period)
{
    struct world_writer *ww = &w->writer[writer];
    struct err err;

    snprintf(ww->id, sizeof ww->id, "w-%016u", writer + 1);
    buf_init(&ww->lines, SEGMENT_MAX);
    ww->totals.period = ww->header.totals.period = period_text(period);
    ck_assert_msg(archive_register(w->archive, WORLD_INSTALLATION, ww->id, ww->totals.period, &err),
                  "%s", err.text);
}

static void add_line(struct world_writer *ww, struct span line)
{
    struct record_effect effect;
    struct err err;

    buf_add_span(&ww->lines, line);
    buf_add_char(&ww->lines, '\n');
    ck_assert(!ww->lines.failed);
    ck_assert_msg(record_effect_parse(line, crc32c(0, line.data, line.len), &effect, &err) &&
                      archive_header_take(&ww->header, &effect, &err),
                  "%s", err.text);
}

static void write_record(struct world *w, unsigned writer, enum record_kind kind, struct span body,
                         const char *account, const char *model)
{
    struct world_writer *ww = &w->writer[writer];
    struct record_place place = {0};
    AUTO_CLEAR(buf) line = {.max = RECORD_BYTES_MAX};
    const char *ids[SIDES] = {[SIDE_ACCOUNT] = account, [SIDE_MODEL] = model};
    struct err err;

    for (int side = 0; side < SIDES; side++) {
        if (!ids[side])
            continue;
        place.on[side] = true;
        place.partition[side] =
            strcmp(ids[side], "catalogue") == 0
                ? partition_catalogue().index
                : partition_of((enum partition_side)side, span_of(ids[side])).index;
        place.n[side] = ww->heads.at[side][place.partition[side]].n + 1;
    }
    ck_assert(record_compose(&line, kind, ww->id, &place, body));
    ck_assert_msg(record_heads_advance(&ww->heads, &place, crc32c(0, line.data, line.len), &err),
                  "%s", err.text);
    ww->totals.records++;
    add_line(ww, buf_span(&line));
}

static void write_catalogue(struct world *w, unsigned writer, const char *object, const char *id,
                            struct span body)
{
    AUTO_CLEAR(buf) record = {.max = RECORD_BYTES_MAX};
    struct jw jw;

    jw_init(&jw, &record);
    jw_object(&jw);
    jw_string_member(&jw, "object", object);
    jw_string_member(&jw, "id", id);
    jw_int_member(&jw, "revision", 1);
    jw_time_member(&jw, "at", 0);
    jw_string_member(&jw, "op", "op-1");
    jw_key(&jw, "body");
    jw_raw(&jw, body);
    jw_object_end(&jw);
    write_record(w, writer, RECORD_CATALOGUE, buf_span(&record), NULL, "catalogue");
}

void world_price(struct world *w, unsigned writer, const char *id, const char *from,
                 const char *currency, const char *input, const char *output)
{
    struct price *p = &w->price[w->price_count++];
    AUTO_CLEAR(buf) text = {.max = 4096};
    AUTO_CLEAR(buf) body = {.max = 4096};
    AUTO_JSON object = NULL;
    struct err err;
    struct jw jw;

    buf_printf(&text,
               "{\"id\":\"%s\",\"from\":\"%s\",\"units\":{\"input_tokens\":\"%s\","
               "\"output_tokens\":\"%s\"}}",
               id, from, input, output);
    object = json_parse(buf_span(&text), &err);
    ck_assert_msg(object && price_parse(object, currency, p, &err), "%s", err.text);
    jw_init(&jw, &body);
    price_write(p, &jw);
    write_catalogue(w, writer, "price", p->version, buf_span(&body));
}

void world_contract(struct world *w, unsigned writer, const char *creator, const char *from,
                    int64_t share_bp)
{
    AUTO_CLEAR(buf) body = {.max = 4096};
    char version[VERSION_TEXT];

    snprintf(version, sizeof version, "%s@%s", creator, from);
    buf_printf(&body, "{\"creator\":\"%s\",\"from\":\"%s\",\"share_bp\":%lld}", creator, from,
               (long long)share_bp);
    write_catalogue(w, writer, "contract", version, buf_span(&body));
}

static void set_owners(struct event *e, const char *owners)
{
    AUTO_STRING copy = xstrdup(owners);
    char *rest = copy, *item;

    while ((item = strsep(&rest, ","))) {
        struct owner *o = &e->owners[e->owner_count++];
        char *colon = strchr(item, ':');

        *colon = '\0';
        snprintf(o->id, sizeof o->id, "%s", item);
        o->weight = number_of(colon + 1);
    }
}

struct event world_event(const struct world *w, const char *account, const char *model,
                         size_t price, const char *owners, int64_t share_bp, int64_t input,
                         const char *ended)
{
    const struct price *p = &w->price[price];
    struct event e = {.share_bp = share_bp, .outcome = OUTCOME_COMPLETE};
    struct err err;

    request_id_make(e.request_id);
    snprintf(e.account, sizeof e.account, "%s", account);
    snprintf(e.key, sizeof e.key, "17abcdefghij");
    snprintf(e.model, sizeof e.model, "%s", model);
    snprintf(e.backend, sizeof e.backend, "echo");
    snprintf(e.price, sizeof e.price, "%s", p->version);
    set_owners(&e, owners);
    snprintf(e.contract, sizeof e.contract, "%s@" WORLD_FROM, e.owners[0].id);
    ck_assert(used_set(&e.used, unit_find(SPAN("input_tokens")), input, FROM_UPSTREAM, NULL));
    ck_assert_msg(price_rate(p, &e.used, &e.amount.nanos, &err), "%s", err.text);
    memcpy(e.amount.currency, p->currency, CURRENCY_TEXT);
    ck_assert(clock_parse(span_of(ended), &e.ended_at, NULL));
    e.started_at = e.ended_at - NANOS_PER_SECOND;
    e.period = e.orig_period = period_of(e.ended_at);
    return e;
}

void world_write(struct world *w, unsigned writer, const struct event *e)
{
    world_write_only(w, writer, e);
    ledger_sums_add_event(&w->redis, e);
}

void world_write_only(struct world *w, unsigned writer, const struct event *e)
{
    AUTO_CLEAR(buf) body = {.max = EVENT_BYTES_MAX};
    struct jw jw;

    jw_init(&jw, &body);
    event_write(e, &jw);
    write_record(w, writer, RECORD_CALL, buf_span(&body), e->account, e->model);
    w->writer[writer].totals.events++;
    ck_assert(writer_totals_add(&w->writer[writer].totals, &e->amount, NULL));
    ck_assert(w->event_count < WORLD_EVENTS);
    w->event[w->event_count++] = *e;
}

struct refund world_refund(const struct event *e, const char *op, int64_t nanos, const char *at)
{
    struct refund r;

    refund_of_event(e, &r);
    snprintf(r.op, sizeof r.op, "%s", op);
    snprintf(r.reason, sizeof r.reason, "it was cut off");
    r.amount.nanos = nanos;
    ck_assert(clock_parse(span_of(at), &r.at, NULL));
    r.period = period_of(r.at);
    return r;
}

void world_write_refund(struct world *w, unsigned writer, const struct refund *r, bool counts)
{
    struct writer_totals *totals = &w->writer[writer].totals;
    AUTO_CLEAR(buf) body = {.max = EVENT_BYTES_MAX};
    struct jw jw;

    jw_init(&jw, &body);
    refund_write(r, &jw);
    write_record(w, writer, RECORD_REFUND, buf_span(&body), r->account, r->model);
    totals->refunds++;
    ck_assert(writer_totals_add_refund(totals, &r->amount, NULL));
    if (counts)
        ledger_sums_add_refund(&w->redis, r);
}

void world_forget_sums(struct world *w)
{
    ledger_sums_clear(&w->redis);
    ledger_sums_init(&w->redis);
}

void world_seal(struct world *w, unsigned writer)
{
    struct world_writer *ww = &w->writer[writer];
    struct seal *seal = xcalloc(1, sizeof *seal);
    AUTO_CLEAR(buf) body = {.max = RECORD_BYTES_MAX};
    AUTO_CLEAR(buf) line = {.max = RECORD_BYTES_MAX};

    seal->at = period_end(ww->totals.period);
    seal->totals = ww->totals;
    seal->heads = ww->heads;
    ck_assert(seal_write(seal, &body));
    ck_assert(record_compose(&line, RECORD_SEAL, ww->id, NULL, buf_span(&body)));
    add_line(ww, buf_span(&line));
    ww->totals = (struct writer_totals){.period = period_next(ww->totals.period)};
    free(seal);
}

void world_archive(struct world *w, unsigned writer)
{
    struct world_writer *ww = &w->writer[writer];
    struct archive_header h = ww->header;
    AUTO_STRING dir = archive_dir(w->archive, ww->id);
    AUTO_STRING path = archive_path(w->archive, ww->id, ww->segment + 1);
    AUTO(zstd_writer) zstd = NULL;
    AUTO_CLEAR(buf) head = {.max = RECORD_BYTES_MAX};
    struct err err;

    h.segment = ww->segment + 1;
    memcpy(h.installation, WORLD_INSTALLATION, sizeof WORLD_INSTALLATION);
    memcpy(h.writer, ww->id, sizeof h.writer);
    memcpy(h.previous, ww->chain, sizeof h.previous);
    ck_assert(archive_header_write(&h, &head));
    if (head.data[head.len - 1] != '\n')
        buf_add_char(&head, '\n');
    ck_assert(dir_ensure(dir, 0755, &err));
    zstd = zstd_writer_open(path, &err);
    ck_assert_msg(zstd && zstd_writer_add(zstd, buf_span(&head), &err) &&
                      zstd_writer_add(zstd, buf_span(&ww->lines), &err) &&
                      zstd_writer_finish(zstd, ww->chain, &err),
                  "%s", err.text);
    ww->segment++;
    ww->header = (struct archive_header){.totals = h.totals, .heads = h.heads};
    buf_truncate(&ww->lines, 0);
}

struct world *world_november(const char *now)
{
    struct world *w = world_new(now);
    struct event e;

    world_begin(w, 0, "2026-11");
    world_begin(w, 1, "2026-11");
    world_contract(w, 0, "ann", WORLD_FROM, 7000);
    world_contract(w, 0, "bob", WORLD_FROM, 8000);
    world_price(w, 0, "basic", WORLD_FROM, "CNY", "2.00", "8.00");
    e = world_event(w, "acme", "ann/chat", 0, "ann:1", 7000, 1234567, "2026-11-03T10:00:00.000Z");
    world_write(w, 0, &e);
    e = world_event(w, "acme", "ann/duo", 0, "ann:2,bob:1", 7000, 1001, "2026-11-02T10:00:00.000Z");
    world_write(w, 1, &e);
    e = world_event(w, "brix", "ann/chat", 0, "ann:1", 7000, 5, "2026-11-30T15:59:59.999Z");
    world_write(w, 1, &e);
    for (unsigned i = 0; i < 2; i++) {
        world_seal(w, i);
        world_archive(w, i);
    }
    return w;
}

char *file_text(const char *dir, const char *name)
{
    AUTO_STRING path = path_join(dir, name);
    AUTO_CLEAR(buf) text = {.max = SEGMENT_MAX};
    struct err err;

    ck_assert_msg(file_read(path, &text, &err), "%s", err.text);
    return xstrndup(text.len ? text.data : "", text.len);
}

bool dirs_are_equal(const char *a, const char *b)
{
    AUTO_STRING command = xasprintf("diff -r '%s' '%s' >/dev/null", a, b);

    return system(command) == 0;
}

void run_command(const char *format, ...)
{
    char command[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    ck_assert_msg(system(command) == 0, "%s failed", command);
}
