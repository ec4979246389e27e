/* apply_story.c - see the header. */
#include "tests/billing/apply_story.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/mem.h"

static const char *const kinds[] = {"call", "account", "key", "credit", "catalogue", "refund"};
const char *const writers[WRITERS] = {"w-a", "w-b", "w-c"};
const char *const currencies[2] = {"CNY", "USD"};
const char *const forms[FORMS] = {"create", "limit", "revoke"};
const char *const months[MONTHS] = {"2026-11", "2026-12", "2027-01"};

struct fixture redis;
struct story story;

const struct partition account_partition = {SIDE_ACCOUNT, 17};
static const struct partition model_partition = {SIDE_MODEL, 0};

void start_redis(void)
{
    fixture_start(&redis, false);
}

void stop_redis(void)
{
    fixture_stop(&redis);
}

void expect_field(const char *key, const char *field, const char *expected)
{
    AUTO_STRING found = fixture_ask(&redis, "HGET %s %s", key, field);

    ck_assert_msg(strcmp(found, expected) == 0, "%s %s is %s, not %s", key, field, found, expected);
}

void set_field(const char *key, const char *field, const char *value)
{
    freeReplyObject(fixture_command(&redis, "HSET %s %s %s", key, field, value));
}

uint32_t fact_crc(const struct fact *f)
{
    return crc32c(0, f->line, strlen(f->line));
}

static void add_call(struct batch *b, const struct fact *f)
{
    char text[64], amount[32], spent[96];

    snprintf(amount, sizeof amount, f->too_large ? "%" PRId64 "0000000000000000" : "%" PRId64,
             f->amount);
    if (b->partition.side == SIDE_MODEL) {
        batch_record(b, (struct record_cursor){f->n, fact_crc(f)}, "call", span_of(f->line), 2, 2);
        batch_key(b, "gross", "2026-11");
        snprintf(text, sizeof text, "demo/m%u", f->subject);
        batch_key(b, "calls", text);
        snprintf(text, sizeof text, "demo/m%u 2026-11-22 %s", f->subject, currencies[f->currency]);
        batch_field_text(b, text);
        batch_field_text(b, amount);
        return;
    }
    batch_record(b, (struct record_cursor){f->n, fact_crc(f)}, "call", span_of(f->line), 9, 7);
    snprintf(text, sizeof text, "acct%u", f->subject);
    batch_key(b, "account", text);
    batch_key(b, "holds", text);
    batch_key(b, "debits", "2026-11");
    batch_key(b, "events", text);
    batch_key(b, "index", text);
    batch_key(b, "rate", text);
    batch_key(b, "rate:key", "17key");
    snprintf(spent, sizeof spent, "%s:2026-11-22:%s", text, currencies[f->currency]);
    batch_key(b, "spent", spent);
    snprintf(spent, sizeof spent, "%s:2026-11:%s", text, currencies[f->currency]);
    batch_key(b, "spent", spent);
    batch_field_text(b, text);
    batch_field_text(b, f->line);
    batch_field_text(b, currencies[f->currency]);
    batch_field_text(b, amount);
    batch_field_int(b, 0);
    batch_field_text(b, "17key");
    batch_field_text(b, "demo/m");
}

const char *fact_values(const struct fact *f, char out[VALUES])
{
    if (f->form == REVOKE)
        snprintf(out, VALUES, "state=revoked");
    else if (f->form == LIMIT && f->sets_limit)
        snprintf(out, VALUES, "credit_limit=%" PRId64, f->limit);
    else if (f->form == LIMIT)
        snprintf(out, VALUES, "rpm=%" PRId64, f->rpm);
    else if (f->kind == KEY)
        snprintf(out, VALUES,
                 "owner_kind=account owner=acct0 hash=%s expires_at=0 rpm=%" PRId64
                 " tpm=1000 scopes= models= ips=",
                 f->line, f->rpm);
    else
        snprintf(out, VALUES,
                 "currency=%s mode=%s credit_limit=%" PRId64 " concurrency=7 rpm=%" PRId64
                 " tpm=1000",
                 currencies[f->currency], f->limit ? "postpaid" : "prepaid", f->limit, f->rpm);
    return out;
}

static void add_setting(struct batch *b, const struct fact *f)
{
    char text[VALUES];

    batch_field_text(b, forms[f->form]);
    snprintf(text, sizeof text, "op%u", f->op);
    batch_field_text(b, text);
    batch_field_int(b, f->revision);
    batch_field_int(b, f->at);
    batch_field_text(b, fact_values(f, text));
}

static void add_account(struct batch *b, const struct fact *f)
{
    char text[64];

    batch_record(b, (struct record_cursor){f->n, fact_crc(f)}, "account", span_of(f->line), 2, 6);
    snprintf(text, sizeof text, "acct%u", f->subject);
    batch_key(b, "account", text);
    batch_key(b, "terms:account", text);
    batch_field_text(b, text);
    add_setting(b, f);
}

static void add_key(struct batch *b, const struct fact *f)
{
    char text[64];

    batch_record(b, (struct record_cursor){f->n, fact_crc(f)}, "key", span_of(f->line), 2, 5);
    snprintf(text, sizeof text, "17key%u", f->subject);
    batch_key(b, "key", text);
    batch_key(b, "terms:key", text);
    add_setting(b, f);
}

static void add_credit(struct batch *b, const struct fact *f)
{
    char text[64];

    batch_record(b, (struct record_cursor){f->n, fact_crc(f)}, f->adjusts ? "adjust" : "credit",
                 span_of(f->line), 4, 6);
    snprintf(text, sizeof text, "acct%u", f->subject);
    batch_key(b, "account", text);
    batch_key(b, "booked", NULL);
    batch_key(b, "grants", text);
    batch_key(b, "expiring", NULL);
    batch_field_text(b, text);
    snprintf(text, sizeof text, "op%u", f->op);
    batch_field_text(b, text);
    batch_field_text(b, currencies[f->currency]);
    batch_field_int(b, f->amount);
    batch_field_int(b, f->at);
    batch_field_text(b, months[f->month]);
}

static void add_catalogue(struct batch *b, const struct fact *f)
{
    char text[64];

    batch_record(b, (struct record_cursor){f->n, fact_crc(f)}, "catalogue", span_of(f->line), 0, 3);
    snprintf(text, sizeof text, "model/demo/m%u", f->subject);
    batch_field_text(b, text);
    batch_field_int(b, f->revision);
    batch_field_text(b, f->line);
}

const char *fact_sum_name(const struct fact *f, char out[64])
{
    if (story.side == SIDE_ACCOUNT)
        snprintf(out, 64, "acct%u %s", f->subject, currencies[f->currency]);
    else
        snprintf(out, 64, "2026-11 demo/m%u %s", f->subject, currencies[f->currency]);
    return out;
}

static void add_refund(struct batch *b, const struct fact *f)
{
    bool on_account = b->partition.side == SIDE_ACCOUNT;
    char text[64], account[16];

    batch_record(b, (struct record_cursor){f->n, fact_crc(f)}, "refund", span_of(f->line),
                 on_account ? 3 : 2, on_account ? 9 : 7);
    snprintf(text, sizeof text, "call%u-%u", f->subject, f->call);
    snprintf(account, sizeof account, "acct%u", f->subject);
    batch_key(b, "refunds", text);
    batch_key(b, "refunded", NULL);
    if (on_account)
        batch_key(b, "account", account);
    batch_field_text(b, text);
    snprintf(text, sizeof text, "op%u", f->op);
    batch_field_text(b, text);
    batch_field_text(b, months[f->month]);
    batch_field_int(b, f->at);
    batch_field_int(b, f->amount);
    batch_field_int(b, CHARGED);
    batch_field_text(b, fact_sum_name(f, text));
    if (!on_account)
        return;
    batch_field_text(b, account);
    batch_field_text(b, currencies[f->currency]);
}

void add_fact(struct batch *b, const struct fact *f)
{
    static void (*const add[])(struct batch *, const struct fact *) = {
        add_call, add_account, add_key, add_credit, add_catalogue, add_refund};

    add[f->kind](b, f);
}

void start(struct batch *b, unsigned writer)
{
    batch_start(b, story.side == SIDE_ACCOUNT ? account_partition : model_partition, INSTALLATION,
                writers[writer], FROM_JOURNAL);
}

struct fact *tell(struct fact f)
{
    struct fact *kept = &story.facts[f.writer][story.count[f.writer]];

    ck_assert_uint_lt(story.count[f.writer], FACTS_MAX);
    f.n = ++story.count[f.writer];
    *kept = f;
    snprintf(kept->line, sizeof kept->line, "{%s-%s-%" PRIu64 "}", kinds[f.kind], writers[f.writer],
             f.n);
    return kept;
}

void apply(unsigned writer, uint64_t from, uint64_t to, const char *expected)
{
    AUTO_CLEAR(batch) b;

    batch_init(&b);
    start(&b, writer);
    for (uint64_t n = from; n <= to; n++)
        add_fact(&b, &story.facts[writer][n - 1]);
    AUTO_STRING answer = fixture_apply(&redis, &b);
    ck_assert_msg(strncmp(answer, expected, strlen(expected)) == 0,
                  "%s %" PRIu64 "-%" PRIu64 ": %s, not %s", writers[writer], from, to, answer,
                  expected);
}

uint64_t cursor_of(unsigned writer)
{
    AUTO_STRING answer = fixture_ask(&redis, "HGET tg:{%s}:cursors %s",
                                     story.side == SIDE_ACCOUNT ? "a17" : "m00", writers[writer]);

    return strtoull(answer, NULL, 10);
}

void begin_story(enum partition_side side)
{
    story.side = side;
    memset(story.count, 0, sizeof story.count);
    freeReplyObject(fixture_command(&redis, "FLUSHALL"));
}

void open_account(void)
{
    begin_story(SIDE_ACCOUNT);
    tell((struct fact){.kind = ACCOUNT, .revision = 1});
    apply(0, 1, 1, "OK 1 ");
}
