/* projection_rig.c - see the header. */
#include "tests/billing/projection_rig.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

#define ALL_MS      (INT64_C(3650) * 86400000) /* of time is recent */
#define HASTE       25 /* timers of everything but the test run so many times as fast */
#define REST_MAX_MS 10

struct fixture fixture;
int64_t slept_ms;
bool is_held;
static struct timer *held_rest;

void start_redis(void)
{
    struct err err;

    ck_assert_msg(clock_set_zone("Asia/Shanghai", &err), "%s", err.text);
    fixture_start(&fixture, false);
}

void stop_redis(void)
{
    fixture_stop(&fixture);
}

void __real_timer_start(struct timer *t, int64_t ms);
void __wrap_timer_start(struct timer *t, int64_t ms);

void __wrap_timer_start(struct timer *t, int64_t ms)
{
    if (is_held && ms < REST_MAX_MS)
        held_rest = t;
    else
        __real_timer_start(t, is_held ? ms * 100 : ms / HASTE);
}

void let_go(struct rig *r)
{
    bool never = false;

    ck_assert_ptr_nonnull(held_rest);
    __real_timer_start(held_rest, 0);
    held_rest = NULL;
    ck_assert(!loop_run_until(r->loop, &never, 20));
}

int64_t __real_clock_monotonic_ms(void);
int64_t __wrap_clock_monotonic_ms(void);

int64_t __wrap_clock_monotonic_ms(void)
{
    return __real_clock_monotonic_ms() + slept_ms;
}

static void on_ready(void *arg)
{
    struct rig *r = arg;

    if (r->projection)
        projection_redis_ready(r->projection);
}

static void on_lost(void *arg, const struct err *err)
{
    struct rig *r = arg;

    (void)err;
    r->is_recovered = false;
    if (r->projection)
        projection_redis_lost(r->projection);
}

static void on_put_holds(void *arg)
{
    struct rig *r = arg;

    r->holds_wanted++;
    r->is_recovered = false;
    if (!r->keeps_holds)
        projection_holds_are_back(r->projection);
}

static void on_recovered(void *arg)
{
    ((struct rig *)arg)->is_recovered = true;
}

static void on_stopped(void *arg, const struct err *err)
{
    struct rig *r = arg;

    r->is_stopped = true;
    r->stopped = *err;
}

static void on_done(void *arg)
{
    ((struct rig *)arg)->is_done = true;
}

static void rig_journal(struct rig *r)
{
    struct journal_config config = {.root = r->journal_root,
                                    .archive = r->archive,
                                    .installation = INSTALLATION,
                                    .segment_bytes = 128 * 1024,
                                    .segment_age_ms = 3600000};
    struct err err;

    r->journal = journal_open(&config, NULL, &err);
    ck_assert_msg(r->journal != NULL, "%s", err.text);
}

void rig_init_in(struct rig *r, struct loop *loop)
{
    *r = (struct rig){.dir = "/tmp/tollgate-projection-XXXXXX", .recent_ms = ALL_MS};
    ck_assert_ptr_nonnull(mkdtemp(r->dir));
    snprintf(r->journal_root, sizeof r->journal_root, "%s/journal", r->dir);
    snprintf(r->archive, sizeof r->archive, "%s/archive", r->dir);
    ck_assert_int_eq(mkdir(r->journal_root, 0700) | mkdir(r->archive, 0700), 0);
    r->is_guest = true;
    r->loop = loop;
    rig_journal(r);
}

void rig_init(struct rig *r)
{
    struct err err;

    rig_init_in(r, loop_new(&err));
    r->is_guest = false;
}

static void rig_open_redis(struct rig *r)
{
    AUTO_STRING address = xasprintf("unix:%s", fixture.socket);
    struct redis_config config = {.address = address,
                                  .connect_ms = HASTE * 2000,
                                  .command_ms = HASTE * 5000,
                                  .pending_max = 1000};
    struct redis_handlers handlers = {on_ready, on_lost};
    struct err err;

    r->redis = redis_new(r->loop, &config, &handlers, r, &err);
    ck_assert_msg(r->redis != NULL, "%s", err.text);
}

void rig_connect(struct rig *r, const char *installation, size_t batch_records)
{
    struct projection_config projection = {installation, r->archive, batch_records, 4,
                                           r->recent_ms};
    struct projection_handlers events = {
        .on_put_holds = on_put_holds, .on_recovered = on_recovered, .on_stopped = on_stopped};

    rig_open_redis(r);
    r->projection = projection_new(r->loop, r->redis, r->journal, &projection, &events, r);
}

void rig_connect_archived(struct rig *r, const char *writer)
{
    struct projection_config projection = {INSTALLATION, r->archive, 7, 4, r->recent_ms};
    struct projection_handlers events = {.on_reported = on_done, .on_stopped = on_stopped};

    rig_open_redis(r);
    r->projection = projection_new_archived(r->loop, r->redis, writer, &projection, &events, r);
}

void rig_disconnect(struct rig *r)
{
    projection_free(KEEP(r->projection));
    redis_free(KEEP(r->redis));
    r->is_recovered = r->is_done = false;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

void rig_free(struct rig *r)
{
    rig_disconnect(r);
    journal_free(r->journal);
    if (!r->is_guest)
        loop_free(r->loop);
    nftw(r->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void make_durable(struct rig *r)
{
    journal_completed(r->journal);
    if (r->projection)
        projection_wake(r->projection);
}

void ship(struct rig *r)
{
    make_durable(r);
    r->is_done = false;
    projection_when_current(r->projection, on_done, r);
    ck_assert_msg(loop_run_until(r->loop, &r->is_done, WAIT_MS), "not current after %d ms",
                  WAIT_MS);
    ck_assert(projection_is_current(r->projection));
}

void recover(struct rig *r)
{
    ck_assert_msg(loop_run_until(r->loop, &r->is_recovered, WAIT_MS), "not recovered after %d ms",
                  WAIT_MS);
}

void expect_stopped(struct rig *r, const char *because)
{
    ck_assert(loop_run_until(r->loop, &r->is_stopped, WAIT_MS));
    ck_assert_msg(strstr(r->stopped.text, because) != NULL, "%s", r->stopped.text);
}

void change(struct rig *r, enum record_kind kind, const char *id, const char *body)
{
    struct partition p =
        kind == RECORD_CATALOGUE ? partition_catalogue() : partition_of(SIDE_ACCOUNT, span_of(id));
    struct err err;

    ck_assert_msg(journal_change(r->journal, &(struct journal_change){kind, span_of(body), p}, NULL,
                                 NULL, &err),
                  "%s", err.text);
}

void open_account(struct rig *r, const char *id, const char *credit)
{
    AUTO_STRING account = xasprintf("{\"account\":\"%s\",\"currency\":\"CNY\",\"mode\":\"prepaid\","
                                    "\"credit_limit\":\"0\",\"concurrency\":5,\"revision\":1,"
                                    "\"at\":\"2026-11-22T01:02:03.004Z\",\"op\":\"op-%s\"}",
                                    id, id);
    AUTO_STRING top_up = xasprintf(
        "{\"account\":\"%s\",\"amount\":\"%s\",\"currency\":\"CNY\",\"reason\":\"top-up\","
        "\"period\":\"2026-11\",\"at\":\"2026-11-22T01:02:03.004Z\",\"op\":\"credit-%s\"}",
        id, credit, id);

    change(r, RECORD_ACCOUNT, id, account);
    change(r, RECORD_CREDIT, id, top_up);
}

void call(struct rig *r, const char *account, int64_t nanos)
{
    struct event e = {.owner_count = 2,
                      .owners = {{"alice", 3}, {"bob", 1}},
                      .model = "alice/model",
                      .backend = "b",
                      .key = "17abcdefghij",
                      .price = "p@2026-11-01T00:00:00.000Z",
                      .contract = "alice@2026-11-01T00:00:00.000Z",
                      .share_bp = 7000,
                      .amount = {nanos, "CNY"},
                      .outcome = OUTCOME_COMPLETE};
    struct err err;

    request_id_make(e.request_id);
    snprintf(e.account, sizeof e.account, "%s", account);
    e.started_at = e.ended_at = journal_now(r->journal);
    e.period = e.orig_period = period_of(e.ended_at);
    ck_assert(used_set(&e.used, unit_find(SPAN("input_tokens")), 5, FROM_UPSTREAM, &err));
    ck_assert_msg(journal_reserve(r->journal, &err), "%s", err.text);
    journal_begin(r->journal, &e, NULL, NULL);
    journal_call(r->journal, &e, NULL, NULL);
    if (++r->calls % 10 == 0)
        make_durable(r);
}

void some_traffic(struct rig *r, unsigned calls)
{
    static const char *const accounts[] = {"acct-a", "acct-b", "acct-c", "acct-d"};

    for (unsigned i = 0; i < calls; i++)
        call(r, accounts[rand_below(4)], (int64_t)rand_below(1000000000));
}

char *partition_text(enum partition_side side, const char *id)
{
    char name[PARTITION_NAME];

    return xstrdup(partition_name(partition_of(side, span_of(id)), name));
}

void expect_account(const char *account, const char *field, const char *expected)
{
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, account);
    AUTO_STRING found = fixture_ask(&fixture, "HGET tg:{%s}:account:%s %s", p, account, field);

    ck_assert_msg(strcmp(found, expected) == 0, "%s of %s is %s, not %s", field, account, found,
                  expected);
}

char *facts(void)
{
    AUTO_STRING dump = fixture_dump(&fixture);
    AUTO_CLEAR(buf) out;
    char *rest = NULL;

    buf_init(&out, 64 << 20);
    for (char *line = strtok_r(dump, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (!strstr(line, ":live ") && !strstr(line, ":state ") && !strstr(line, "tg:changes"))
            buf_printf(&out, "%s\n", line);
    return xstrndup(out.data ? out.data : "", out.len);
}
