/* test_projection.c - a writer's journal and a real Redis: what is durable arrives exactly once, whatever Redis loses. */
#include <check.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/archive_retire.h"
#include "billing/projection.h"
#include "billing/zstd_file.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/billing/redis_fixture.h"

#define INSTALLATION "inst-1"
#define WAIT_MS      60000
#define ALL_MS       (INT64_C(3650) * 86400000) /* of time is recent */
#define HASTE        25 /* timers of everything but the test run so many times as fast */
#define REST_MAX_MS  10

/* One writer with all that belongs to it. */
struct rig {
    char dir[64], journal_root[96], archive[96];
    struct loop *loop;
    struct redis *redis;
    struct journal *journal;
    struct projection *projection;
    bool is_guest; /* in another rig's loop */
    bool is_recovered, is_stopped, is_done, keeps_holds;
    unsigned holds_wanted, calls;
    struct err stopped;
    int64_t recent_ms;
};

static struct fixture fixture;
static int64_t slept_ms; /* the process stood still for so long */
static bool is_held;     /* a rest of some milliseconds lasts until let_go(), and no other timer matters */
static struct timer *held_rest;

void __real_timer_start(struct timer *t, int64_t ms);
void __wrap_timer_start(struct timer *t, int64_t ms);

void __wrap_timer_start(struct timer *t, int64_t ms)
{
    if (is_held && ms < REST_MAX_MS)
        held_rest = t;
    else
        __real_timer_start(t, is_held ? ms * 100 : ms / HASTE);
}

static void let_go(struct rig *r)
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

static void rig_init_in(struct rig *r, struct loop *loop)
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

static void rig_init(struct rig *r)
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

static void rig_connect(struct rig *r, const char *installation, size_t batch_records)
{
    struct projection_config projection = {installation, r->archive, batch_records, 4,
                                           r->recent_ms};
    struct projection_handlers events = {
        .on_put_holds = on_put_holds, .on_recovered = on_recovered, .on_stopped = on_stopped};

    rig_open_redis(r);
    r->projection = projection_new(r->loop, r->redis, r->journal, &projection, &events, r);
}

static void rig_connect_archived(struct rig *r, const char *writer)
{
    struct projection_config projection = {INSTALLATION, r->archive, 7, 4, r->recent_ms};
    struct projection_handlers events = {.on_reported = on_done, .on_stopped = on_stopped};

    rig_open_redis(r);
    r->projection = projection_new_archived(r->loop, r->redis, writer, &projection, &events, r);
}

static void rig_disconnect(struct rig *r)
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

static void rig_free(struct rig *r)
{
    rig_disconnect(r);
    journal_free(r->journal);
    if (!r->is_guest)
        loop_free(r->loop);
    nftw(r->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void make_durable(struct rig *r)
{
    journal_completed(r->journal);
    if (r->projection)
        projection_wake(r->projection);
}

static void ship(struct rig *r)
{
    make_durable(r);
    r->is_done = false;
    projection_when_current(r->projection, on_done, r);
    ck_assert_msg(loop_run_until(r->loop, &r->is_done, WAIT_MS), "not current after %d ms",
                  WAIT_MS);
    ck_assert(projection_is_current(r->projection));
}

static void recover(struct rig *r)
{
    ck_assert_msg(loop_run_until(r->loop, &r->is_recovered, WAIT_MS), "not recovered after %d ms",
                  WAIT_MS);
}

static void change(struct rig *r, enum record_kind kind, const char *id, const char *body)
{
    struct partition p =
        kind == RECORD_CATALOGUE ? partition_catalogue() : partition_of(SIDE_ACCOUNT, span_of(id));
    struct err err;

    ck_assert_msg(journal_change(r->journal, &(struct journal_change){kind, span_of(body), p}, NULL,
                                 NULL, &err),
                  "%s", err.text);
}

static void open_account(struct rig *r, const char *id, const char *credit)
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

static void call(struct rig *r, const char *account, int64_t nanos)
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
    journal_begin(r->journal, &e);
    journal_call(r->journal, &e, NULL, NULL);
    if (++r->calls % 10 == 0)
        make_durable(r);
}

static char *partition_text(enum partition_side side, const char *id)
{
    char name[PARTITION_NAME];

    return xstrdup(partition_name(partition_of(side, span_of(id)), name));
}

static void expect_account(const char *account, const char *field, const char *expected)
{
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, account);
    AUTO_STRING found = fixture_ask(&fixture, "HGET tg:{%s}:account:%s %s", p, account, field);

    ck_assert_msg(strcmp(found, expected) == 0, "%s of %s is %s, not %s", field, account, found,
                  expected);
}

/* What depends on time or on who is alive is no fact. */
static char *facts(void)
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

static void some_traffic(struct rig *r, unsigned calls)
{
    static const char *const accounts[] = {"acct-a", "acct-b", "acct-c", "acct-d"};

    for (unsigned i = 0; i < calls; i++)
        call(r, accounts[rand_below(4)], (int64_t)rand_below(1000000000));
}

START_TEST(every_kind_of_record_has_its_effect)
{
    struct rig r;
    char period[] = "2026-11";

    rig_init(&r);
    snprintf(period, sizeof period, "%s", period_of(journal_now(r.journal)).text);
    open_account(&r, "acct-a", "12.5");
    change(&r, RECORD_KEY, "acct-a",
           "{\"key\":\"17abcdefghij\",\"owner_kind\":\"account\",\"owner\":\"acct-a\",\"hash\":"
           "\"00ff\",\"pepper\":\"0a1b2c3d\","
           "\"expires_at\":null,\"revision\":4,\"at\":\"2026-11-22T01:02:03."
           "004Z\","
           "\"op\":\"op-k\"}");
    change(&r, RECORD_CATALOGUE, "",
           "{\"object\":\"model\",\"id\":\"alice/model\",\"revision\":9,\"at\":"
           "\"2026-11-22T01:02:03.004Z\",\"op\":\"op-m\",\"body\":{\"x\":[1,\"two\"]}}");
    call(&r, "acct-a", 1500000001);
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    expect_account("acct-a", "balance", "10999999999");
    expect_account("acct-a", "room", "10999999999");
    expect_account("acct-a", "concurrency", "5");
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");
    AUTO_STRING key = fixture_ask(&fixture,
                                  "HMGET tg:{%s}:key:17abcdefghij owner_kind owner hash "
                                  "state expires_at",
                                  p);
    ck_assert_str_eq(key, "account acct-a 00ff active 0");
    change(&r, RECORD_KEY, "acct-a",
           "{\"key\":\"17abcdefghij\",\"hash\":\"11ee\",\"pepper\":\"99999999\","
           "\"revision\":5,\"at\":\"2026-11-22T01:02:04.004Z\",\"op\":\"op-h\"}");
    change(&r, RECORD_KEY, "acct-a",
           "{\"key\":\"17abcdefghik\",\"hash\":\"11ee\",\"pepper\":\"99999999\","
           "\"revision\":5,\"at\":\"2026-11-22T01:02:04.004Z\",\"op\":\"op-h\"}");
    ship(&r);
    AUTO_STRING hashed =
        fixture_ask(&fixture, "HMGET tg:{%s}:key:17abcdefghij owner hash pepper state", p);
    ck_assert_str_eq(hashed, "acct-a 11ee 99999999 active");
    AUTO_STRING unmade = fixture_ask(&fixture, "EXISTS tg:{%s}:key:17abcdefghik", p);
    ck_assert_str_eq(unmade, "0");
    AUTO_STRING catalogue =
        fixture_ask(&fixture, "HMGET tg:{m00}:catalogue model/alice/model revision");
    ck_assert_str_eq(catalogue, "9 {\"x\":[1,\"two\"]} 9");
    char day[DAY_TEXT];
    AUTO_STRING m = partition_text(SIDE_MODEL, "alice/model");
    AUTO_STRING field =
        xasprintf("alice/model %s CNY alice@2026-11-01T00:00:00.000Z 7000 alice:3,bob:1",
                  day_of(journal_now(r.journal), day));
    AUTO_STRING gross = fixture_ask(&fixture, "HGET tg:{%s}:gross:%s %s", m, period, field);
    ck_assert_str_eq(gross, "1500000001");
    AUTO_STRING changes = fixture_ask(&fixture, "XLEN tg:changes");
    ck_assert_str_eq(changes, "5");
    rig_free(&r);
}
END_TEST

START_TEST(traffic_arrives_exactly_once_while_it_happens)
{
    struct rig r;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, (size_t)_i);
    recover(&r);
    open_account(&r, "acct-a", "1000");
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned j = 0; j < 20; j++)
            call(&r, "acct-a", 1000000000);
        make_durable(&r);
    }
    ship(&r);
    expect_account("acct-a", "balance", "800000000000");
    ck_assert_uint_eq(projection_counts(r.projection).applied, 2 + 2 * 200);
    ck_assert_uint_eq(projection_counts(r.projection).duplicates, 0);
    ck_assert_uint_eq(projection_counts(r.projection).replays, 0);
    rig_free(&r);
}
END_TEST

static unsigned scripts_run(void)
{
    AUTO_STRING stats = fixture_ask(&fixture, "INFO commandstats");
    const char *calls = strstr(stats, "cmdstat_evalsha:calls=");
    unsigned n = 0;

    if (calls)
        ck_assert_int_eq(sscanf(calls, "cmdstat_evalsha:calls=%u", &n), 1);
    return n;
}

START_TEST(what_comes_in_quick_succession_travels_together_and_the_first_at_once)
{
    bool never = false;
    unsigned before, first;
    struct rig r;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    is_held = true;
    open_account(&r, "acct-a", "1000");
    call(&r, "acct-a", 1); /* both scripts are loaded now */
    ship(&r);
    ck_assert(!loop_run_until(r.loop, &never, 200)); /* the last quick tick */
    let_go(&r);
    before = scripts_run();
    call(&r, "acct-a", 1);
    ship(&r);
    first = scripts_run();
    ck_assert_uint_eq(first - before, 2);
    for (unsigned i = 0; i < 10; i++) {
        call(&r, "acct-a", 1);
        make_durable(&r);
        ck_assert(!loop_run_until(r.loop, &never, 5));
    }
    ck_assert_uint_eq(scripts_run(), first);
    let_go(&r);
    ship(&r);
    ck_assert_uint_eq(scripts_run() - first, 2);
    expect_account("acct-a", "balance", "999999999988");
    rig_free(&r);
}
END_TEST

START_TEST(what_redis_lost_is_replayed_when_a_record_finds_a_gap)
{
    struct rig r;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, 50);
    open_account(&r, "acct-a", "1000");
    some_traffic(&r, 100);
    ship(&r);
    struct snapshot *earlier = fixture_snapshot(&fixture);
    some_traffic(&r, 300);
    ship(&r);
    AUTO_STRING before = facts();
    fixture_restore(&fixture, earlier);
    snapshot_free(earlier);
    call(&r, "acct-a", 0);
    ship(&r);
    ck_assert_uint_ge(projection_counts(r.projection).gaps, 1);
    expect_account("acct-a", "opened", "1");
    AUTO_STRING after = facts();
    freeReplyObject(fixture_command(&fixture, "FLUSHALL"));
    rig_disconnect(&r);
    rig_connect(&r, INSTALLATION, 7);
    ship(&r);
    AUTO_STRING rebuilt = facts();
    ck_assert_str_eq(after, rebuilt);
    ck_assert_str_ne(before, "");
    rig_free(&r);
}
END_TEST

START_TEST(a_redis_that_lost_everything_comes_back_whole)
{
    struct rig r;

    rig_init(&r);
    open_account(&r, "acct-a", "1000");
    some_traffic(&r, 700);
    rig_connect(&r, INSTALLATION, 20);
    recover(&r);
    ship(&r);
    AUTO_STRING before = facts();
    fixture_kill(&fixture);
    call(&r, "acct-b", 5);
    make_durable(&r);
    fixture_restart(&fixture);
    ship(&r);
    recover(&r);
    AUTO_STRING balance = facts();
    ck_assert_ptr_nonnull(strstr(balance, "acct-b"));
    ck_assert_uint_gt(strlen(balance), strlen(before));
    ck_assert_uint_ge(r.holds_wanted, 2);
    rig_free(&r);
}
END_TEST

START_TEST(a_partition_admits_only_when_its_holds_are_back)
{
    struct rig r;
    bool never = false;

    rig_init(&r);
    r.keeps_holds = true;
    rig_connect(&r, INSTALLATION, 50);
    ck_assert(!loop_run_until(r.loop, &never, 300));
    ck_assert_uint_eq(r.holds_wanted, 1);
    AUTO_STRING run_id = fixture_ask(&fixture, "HGET tg:{a17}:state run_id");
    ck_assert_str_eq(run_id, "(nil)");
    projection_holds_are_back(r.projection);
    recover(&r);
    AUTO_STRING after = fixture_ask(&fixture, "HGET tg:{a17}:state run_id");
    ck_assert_str_eq(after, redis_run_id(r.redis, SPAN("")));
    rig_free(&r);
}
END_TEST

START_TEST(two_writers_add_up_and_wait_for_each_other)
{
    struct rig a, b;

    rig_init(&a);
    rig_init_in(&b, a.loop);
    open_account(&a, "acct-a", "1000");
    rig_connect(&a, INSTALLATION, 50);
    rig_connect(&b, INSTALLATION, 50);
    for (unsigned i = 0; i < 50; i++) {
        call(&a, "acct-a", 1000000000);
        call(&b, "acct-a", 2000000000);
    }
    ship(&a);
    ship(&b);
    recover(&a);
    recover(&b);
    expect_account("acct-a", "balance", "850000000000");
    rig_free(&b);
    rig_free(&a);
}
END_TEST

static void expect_stopped(struct rig *r, const char *because)
{
    ck_assert(loop_run_until(r->loop, &r->is_stopped, WAIT_MS));
    ck_assert_msg(strstr(r->stopped.text, because) != NULL, "%s", r->stopped.text);
}

static void set_cursor(struct rig *r, const char *cursor)
{
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");

    freeReplyObject(fixture_command(&fixture, "HSET tg:{%s}:cursors %s %s", p,
                                    journal_writer(r->journal), cursor));
}

START_TEST(a_cursor_above_the_journals_head_stops_the_directory)
{
    struct rig r;

    rig_init(&r);
    call(&r, "acct-a", 1);
    make_durable(&r);
    set_cursor(&r, "2 00000000");
    rig_connect(&r, INSTALLATION, 50);
    expect_stopped(&r, "its journal ends at 1");
    rig_free(&r);
}
END_TEST

/* At the head, and below it, where the record is only seen when it passes by. */
START_TEST(another_record_under_the_same_number_stops_the_directory)
{
    struct rig r;

    rig_init(&r);
    for (int i = 0; i <= _i; i++)
        call(&r, "acct-a", 1);
    make_durable(&r);
    set_cursor(&r, "1 12345678");
    rig_connect(&r, INSTALLATION, 50);
    expect_stopped(&r, "is another one in Redis than in its journal");
    AUTO_STRING dump = facts();
    ck_assert_ptr_null(strstr(dump, "account"));
    rig_free(&r);
}
END_TEST

/* Its connection outlived the pause, so nothing else tells it. */
START_TEST(a_writer_that_was_retired_while_it_stood_still_ships_nothing_more)
{
    struct rig r;
    struct err err;

    rig_init(&r);
    call(&r, "acct-a", 1);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    ship(&r);
    AUTO_STRING before = facts();
    AUTO_STRING dir = xasprintf("%s/retired", r.archive);
    AUTO_STRING final = xasprintf("%s/%s.json", dir, journal_writer(r.journal));
    ck_assert_int_eq(mkdir(dir, 0755), 0);
    ck_assert(file_write_atomic(final, 0644, SPAN("{}"), &err));
    slept_ms = 60000;
    call(&r, "acct-a", 1);
    make_durable(&r);
    expect_stopped(&r, "was retired");
    AUTO_STRING after = facts();
    ck_assert_str_eq(before, after);
    rig_free(&r);
}
END_TEST

static void fence_off(const char *writer, struct partition p)
{
    AUTO_STRING field = xasprintf("retired %s", writer);
    char key[PARTITION_KEY];

    partition_key(p, "state", NULL, key);
    freeReplyObject(fixture_command(&fixture, "HSET %s %s fenced", key, field));
}

/* It slept without knowing it, and the archive that it sees is an old one: nothing but the partitions tells it. */
START_TEST(a_writer_that_was_fenced_off_ships_nothing_more_and_keeps_it_all)
{
    struct partition p = partition_of(SIDE_ACCOUNT, SPAN("acct-a"));
    struct rig r;

    rig_init(&r);
    call(&r, "acct-a", 1);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    ship(&r);
    AUTO_STRING before = facts();
    for (unsigned lane = 0; lane < PARTITIONS_ALL; lane++)
        fence_off(journal_writer(r.journal), partition_at(lane));
    call(&r, "acct-a", 1);
    make_durable(&r);
    expect_stopped(&r, "was retired");
    AUTO_STRING after = facts();
    ck_assert_str_eq(before, after);
    ck_assert_uint_eq(journal_heads(r.journal)->at[SIDE_ACCOUNT][p.index].n, 2);
    rig_free(&r);
}
END_TEST

/* What it has to ship is in no partition that says so. */
START_TEST(a_writer_that_was_fenced_off_does_not_come_back)
{
    struct rig r;

    rig_init(&r);
    call(&r, "acct-a", 1);
    fence_off(journal_writer(r.journal), (struct partition){SIDE_MODEL, 63});
    rig_connect(&r, INSTALLATION, 50);
    expect_stopped(&r, "was retired");
    rig_free(&r);
}
END_TEST

/* In a partition where it has no record by which it could see it; nobody else tells it. */
START_TEST(a_writer_whose_holds_went_with_a_rebuild_puts_them_again)
{
    struct rig r;
    bool never = false;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    ck_assert_uint_eq(r.holds_wanted, 1);
    freeReplyObject(fixture_command(&fixture, "HSET tg:{a63}:live %s %s", journal_writer(r.journal),
                                    "- 1792000000000 1"));
    for (int ms = 0; ms < WAIT_MS && r.holds_wanted < 2; ms += 20)
        ck_assert(!loop_run_until(r.loop, &never, 20));
    ck_assert_uint_eq(r.holds_wanted, 2);
    rig_free(&r);
}
END_TEST

/* A partition must wait for who has come until its holds are there. */
START_TEST(a_writer_is_not_back_before_its_holds_are)
{
    struct rig r;
    bool never = false;

    rig_init(&r);
    some_traffic(&r, 40);
    r.keeps_holds = true;
    rig_connect(&r, INSTALLATION, 1);
    for (int ms = 0; ms < WAIT_MS && !r.holds_wanted; ms += 20)
        ck_assert(!loop_run_until(r.loop, &never, 20));
    ck_assert_uint_eq(r.holds_wanted, 1);
    for (unsigned lane = 0; lane < PARTITIONS_ALL; lane++) {
        char key[PARTITION_KEY];

        partition_key(partition_at(lane), "live", NULL, key);
        AUTO_STRING word = fixture_ask(&fixture, "HGET %s %s", key, journal_writer(r.journal));
        ck_assert_msg(word[0] == '-', "%s: %s", key, word);
    }
    projection_holds_are_back(r.projection);
    recover(&r);
    rig_free(&r);
}
END_TEST

START_TEST(a_writer_that_stood_still_goes_on)
{
    struct rig r;

    rig_init(&r);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    slept_ms = 60000;
    call(&r, "acct-a", 7);
    ship(&r);
    expect_account("acct-a", "foreign:CNY", "-7");
    rig_free(&r);
}
END_TEST

START_TEST(another_installations_redis_gets_nothing)
{
    struct rig r;

    rig_init(&r);
    call(&r, "acct-a", 1);
    make_durable(&r);
    freeReplyObject(fixture_command(&fixture, "HSET tg:{m63}:state installation inst-2"));
    rig_connect(&r, INSTALLATION, 50);
    expect_stopped(&r, "another installation");
    AUTO_STRING dump = facts();
    ck_assert_str_eq(dump, "");
    rig_free(&r);
}
END_TEST

START_TEST(a_parked_partition_holds_up_no_other)
{
    struct rig r;

    rig_init(&r);
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");
    freeReplyObject(fixture_command(&fixture, "HSET tg:{%s}:state parked why", p));
    for (int i = 0; i < 30; i++) {
        call(&r, "acct-a", 1);
        call(&r, "acct-b", 1);
    }
    make_durable(&r);
    rig_connect(&r, INSTALLATION, 3);
    recover(&r);
    expect_account("acct-b", "foreign:CNY", "-30");
    expect_account("acct-a", "foreign:CNY", "(nil)");
    ck_assert(!projection_is_current(r.projection));
    rig_free(&r);
}
END_TEST

static void wait_for_facts(struct rig *r, const char *expected)
{
    bool is_equal = false, never = false;

    for (int i = 0; i < 200 && !is_equal; i++) {
        ck_assert(!loop_run_until(r->loop, &never, 50));
        AUTO_STRING found = facts();
        is_equal = strcmp(found, expected) == 0;
    }
    ck_assert(is_equal);
}

START_TEST(a_redis_that_was_emptied_is_noticed_without_any_new_record)
{
    struct rig r;

    rig_init(&r);
    open_account(&r, "acct-a", "1000");
    some_traffic(&r, 50);
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    AUTO_STRING before = facts();
    freeReplyObject(fixture_command(&fixture, "FLUSHALL"));
    wait_for_facts(&r, before);
    rig_free(&r);
}
END_TEST

START_TEST(a_parked_partition_that_was_rebuilt_is_shipped_to_again)
{
    struct rig r;

    rig_init(&r);
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");
    open_account(&r, "acct-a", "1000");
    some_traffic(&r, 50);
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    AUTO_STRING before = facts();
    rig_disconnect(&r);
    freeReplyObject(fixture_command(&fixture, "FLUSHALL"));
    freeReplyObject(fixture_command(&fixture, "HSET tg:{%s}:state parked why", p));
    rig_connect(&r, INSTALLATION, 50);
    recover(&r);
    expect_account("acct-a", "balance", "(nil)");
    freeReplyObject(fixture_command(&fixture, "HDEL tg:{%s}:state parked", p));
    wait_for_facts(&r, before);
    ship(&r);
    rig_free(&r);
}
END_TEST

START_TEST(what_cannot_be_booked_goes_to_suspense_and_the_rest_goes_on)
{
    static const char *const bodies[] = {
        "{\"account\":\"acct-a\",\"op\":\"x\"}",
        "{\"account\":\"acct-a\",\"op\":\"x\",\"currency\":\"CNY\",\"at\":\"2026-11-22T01:02:03Z\","
        "\"period\":\"2026-11\","
        "\"amount\":12}",
        "{\"account\":\"acct-a\",\"op\":\"x "
        "y\",\"currency\":\"CNY\",\"at\":\"2026-11-22T01:02:03Z\",\"period\":\"2026-11\","
        "\"amount\":\"12\"}",
        "{\"account\":\"acct-a\",\"op\":\"x\",\"currency\":\"CNY\",\"at\":\"yesterday\",\"period\":"
        "\"2026-11\","
        "\"amount\":\"12\"}",
        "{\"account\":\"acct-a\",\"op\":\"x\",\"currency\":\"CNY\",\"at\":\"2026-11-22T01:02:03Z\","
        "\"amount\":\"12\"}",
        "{\"account\":\"../"
        "a\",\"op\":\"x\",\"currency\":\"CNY\",\"at\":\"2026-11-22T01:02:03Z\",\"period\":\"2026-"
        "11\","
        "\"amount\":\"12\"}",
    };
    struct rig r;

    rig_init(&r);
    open_account(&r, "acct-a", "1");
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        change(&r, RECORD_CREDIT, "acct-a", bodies[i]);
    call(&r, "acct-a", 7);
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    expect_account("acct-a", "balance", "999999993");
    ck_assert_uint_eq(projection_counts(r.projection).suspended, ARRAY_LEN(bodies));
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");
    AUTO_STRING suspended = fixture_ask(&fixture, "HGET tg:{%s}:suspense %s", p, "x");
    ck_assert_str_eq(suspended, "(nil)");
    AUTO_STRING dump = facts();
    ck_assert_ptr_nonnull(strstr(dump, "record-is-unreadable {\"kind\":\"credit\""));
    rig_free(&r);
}
END_TEST

/* Segments of 128 KiB; the old ones are archived and released, as if their period were closed long since. */
START_TEST(what_the_journal_no_longer_holds_comes_from_the_archive)
{
    struct rig r;
    struct err err;
    size_t added, removed = 0;

    rig_init(&r);
    open_account(&r, "acct-a", "1000");
    for (unsigned i = 0; i < 40; i++) {
        some_traffic(&r, 20);
        make_durable(&r);
    }
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    AUTO_STRING before = facts();
    rig_disconnect(&r);
    AUTO_STRING closed =
        xasprintf("%s/closes/%s", r.archive, period_of(journal_now(r.journal)).text);
    AUTO_STRING closes = path_join(r.archive, "closes");
    ck_assert(mkdir(closes, 0700) == 0 && mkdir(closed, 0700) == 0);
    ck_assert_msg(archive_add_sealed(r.archive, r.journal_root, &added, &err), "%s", err.text);
    ck_assert_msg(archive_release_segments(r.archive, r.journal_root, 0, &removed, &err), "%s",
                  err.text);
    ck_assert_uint_gt(removed, 0);
    freeReplyObject(fixture_command(&fixture, "FLUSHALL"));
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    AUTO_STRING after = facts();
    ck_assert_str_eq(before, after);
    rig_free(&r);
}
END_TEST

/* What is the same whether Redis has calls whole or not. */
static char *sums(void)
{
    static const char *const whole[] = {":events:", ":index:", ":records ", ":trimmed ", ":calls:"};
    AUTO_STRING all = facts();
    AUTO_CLEAR(buf) out;
    char *rest = NULL;

    buf_init(&out, 64 << 20);
    for (char *line = strtok_r(all, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        bool is_sum = true;
        for (size_t i = 0; i < ARRAY_LEN(whole); i++)
            is_sum = is_sum && !strstr(line, whole[i]);
        if (is_sum)
            buf_printf(&out, "%s\n", line);
    }
    return xstrndup(out.data ? out.data : "", out.len);
}

/* Records that streams of account partitions hold whole. */
static unsigned streamed(void)
{
    AUTO_STRING all = facts();
    char *rest = NULL;
    unsigned count = 0;

    for (char *line = strtok_r(all, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        count += strncmp(line, "tg:{a", 5) == 0 &&
                 (strstr(line, ":events:") || strstr(line, ":records "));
    return count;
}

static unsigned numbered(const struct record_heads *heads)
{
    unsigned count = 0;

    for (unsigned i = 0; i < PARTITIONS; i++)
        count += (unsigned)heads->at[SIDE_ACCOUNT][i].n;
    return count;
}

/* _i: the journal no longer has it, or still does. */
START_TEST(what_is_archived_and_old_is_replayed_past_the_streams)
{
    struct rig r;
    struct record_heads archived;
    struct err err;
    size_t added, removed = 0;

    rig_init(&r);
    r.recent_ms = 0;
    open_account(&r, "acct-a", "1000");
    for (unsigned i = 0; i < 40; i++) {
        some_traffic(&r, 20);
        make_durable(&r);
    }
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    AUTO_STRING before = sums();
    unsigned all = numbered(journal_heads(r.journal));
    ck_assert_uint_eq(streamed(), all);
    rig_disconnect(&r);
    ck_assert_msg(archive_add_sealed(r.archive, r.journal_root, &added, &err), "%s", err.text);
    if (_i == 1) {
        AUTO_STRING closed =
            xasprintf("%s/closes/%s", r.archive, period_of(journal_now(r.journal)).text);
        AUTO_STRING closes = path_join(r.archive, "closes");
        ck_assert(mkdir(closes, 0700) == 0 && mkdir(closed, 0700) == 0);
        ck_assert(archive_release_segments(r.archive, r.journal_root, 0, &removed, &err));
        ck_assert_uint_gt(removed, 0);
    }
    ck_assert(archive_heads(r.archive, journal_writer(r.journal), &archived, &err));
    freeReplyObject(fixture_command(&fixture, "FLUSHALL"));
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    AUTO_STRING after = sums();
    ck_assert_str_eq(before, after);
    ck_assert_uint_gt(numbered(&archived), 0);
    ck_assert_uint_lt(numbered(&archived), all);
    ck_assert_uint_eq(streamed(), all - numbered(&archived));
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, "acct-a");
    AUTO_STRING marked = fixture_ask(&fixture, "HEXISTS tg:{%s}:trimmed acct-a", p);
    ck_assert_str_eq(marked, "1");
    rig_free(&r);
}
END_TEST

START_TEST(a_writer_that_only_the_archive_has_is_replayed_from_there)
{
    struct rig r;
    char writer[WRITER_TEXT];
    size_t added;
    struct err err;

    rig_init(&r);
    snprintf(writer, sizeof writer, "%s", journal_writer(r.journal));
    some_traffic(&r, 60);
    make_durable(&r);
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    AUTO_STRING before = facts();
    rig_disconnect(&r);
    journal_free(KEEP(r.journal));
    ck_assert_msg(archive_add_sealed(r.archive, r.journal_root, &added, &err), "%s", err.text);
    freeReplyObject(fixture_command(&fixture, "FLUSHALL"));
    for (int again = 0; again < 2; again++) {
        rig_connect_archived(&r, writer);
        ck_assert_msg(loop_run_until(r.loop, &r.is_done, WAIT_MS), "not replayed");
        ck_assert_uint_eq(projection_counts(r.projection).applied > 0, !again);
        rig_disconnect(&r);
    }
    AUTO_STRING after = facts();
    ck_assert_str_eq(before, after);
    AUTO_STRING word = fixture_ask(&fixture, "HEXISTS tg:{a00}:live %s", writer);
    ck_assert_str_eq(word, "0"); /* nobody lives there */
    rig_free(&r);
}
END_TEST

/* Ten calls of one account, in an archived file of their own. */
static void archive_calls(struct rig *r, const char *account)
{
    size_t added;
    struct err err;

    for (unsigned i = 0; i < 10; i++)
        call(r, account, 1000);
    make_durable(r);
    journal_seal(r->journal, NULL, NULL);
    make_durable(r);
    ck_assert_msg(archive_add_sealed(r->archive, r->journal_root, &added, &err), "%s", err.text);
    ck_assert_uint_eq(added, 1);
}

/* Its first line stays. */
static void cut_file(const struct rig *r, const char *writer, unsigned number)
{
    AUTO_STRING path = xasprintf("%s/%s/%08u.jsonl.zst", r->archive, writer, number);
    AUTO_STRING cut = xasprintf("%s.cut", path);
    struct err err;
    AUTO(zstd_reader) in = zstd_reader_open(path, &err);
    AUTO(zstd_writer) out = zstd_writer_open(cut, &err);
    char sha256[SHA256_HEX];
    struct span line;

    ck_assert_msg(in && out && zstd_reader_line(in, RECORD_BYTES_MAX, &line, &err) == 1 &&
                      zstd_writer_add(out, line, &err) && zstd_writer_add(out, SPAN("\n"), &err) &&
                      zstd_writer_finish(out, sha256, &err),
                  "%s", err.text);
    ck_assert_int_eq(rename(cut, path), 0);
}

static void forget_account(const char *account)
{
    static const char script[] =
        "for _, key in ipairs(redis.call('KEYS', 'tg:{' .. ARGV[1] .. '}:*')) do "
        "redis.call('DEL', key) end";
    AUTO_STRING p = partition_text(SIDE_ACCOUNT, account);

    free(fixture_ask(&fixture, "EVAL %s 0 %s", script, p));
}

/* One partition was lost: the files before and behind have nothing of it, and are cut off. */
START_TEST(a_file_of_which_redis_has_everything_is_not_read)
{
    struct rig r;
    char writer[WRITER_TEXT];

    rig_init(&r);
    snprintf(writer, sizeof writer, "%s", journal_writer(r.journal));
    archive_calls(&r, "acct-a");
    archive_calls(&r, "acct-b");
    archive_calls(&r, "acct-a");
    rig_connect(&r, INSTALLATION, 50);
    ship(&r);
    AUTO_STRING before = facts();
    rig_disconnect(&r);
    journal_free(KEEP(r.journal));
    cut_file(&r, writer, 1);
    cut_file(&r, writer, 3);
    forget_account("acct-b");
    rig_connect_archived(&r, writer);
    ck_assert_msg(loop_run_until(r.loop, &r.is_done, WAIT_MS), "not replayed");
    rig_disconnect(&r);
    AUTO_STRING after = facts();
    ck_assert_str_eq(before, after);
    forget_account("acct-a");
    rig_connect_archived(&r, writer);
    ck_assert_msg(loop_run_until(r.loop, &r.is_stopped, WAIT_MS),
                  "a file that was cut off was read");
    ck_assert_int_eq(r.stopped.code, ERR_CORRUPT);
    rig_free(&r);
}
END_TEST

START_TEST(it_can_be_freed_while_commands_are_under_way)
{
    struct rig r;
    bool never = false;

    rig_init(&r);
    some_traffic(&r, 200);
    make_durable(&r);
    rig_connect(&r, INSTALLATION, 2);
    ck_assert(!loop_run_until(r.loop, &never, _i));
    projection_free(KEEP(r.projection));
    ck_assert(!loop_run_until(r.loop, &never, 50));
    rig_free(&r);
}
END_TEST

static void start_redis(void)
{
    fixture_start(&fixture, false);
}

static void stop_redis(void)
{
    fixture_stop(&fixture);
}

static Suite *suite(void)
{
    Suite *s = suite_create("projection");
    TCase *t = tcase_create("projection");

    tcase_set_timeout(t, 40);
    tcase_add_checked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, every_kind_of_record_has_its_effect);
    tcase_add_loop_test(t, traffic_arrives_exactly_once_while_it_happens, 1, 4);
    tcase_add_test(t, what_comes_in_quick_succession_travels_together_and_the_first_at_once);
    tcase_add_test(t, what_redis_lost_is_replayed_when_a_record_finds_a_gap);
    tcase_add_test(t, a_redis_that_lost_everything_comes_back_whole);
    tcase_add_test(t, a_partition_admits_only_when_its_holds_are_back);
    tcase_add_test(t, two_writers_add_up_and_wait_for_each_other);
    tcase_add_test(t, a_cursor_above_the_journals_head_stops_the_directory);
    tcase_add_loop_test(t, another_record_under_the_same_number_stops_the_directory, 0, 2);
    tcase_add_test(t, a_writer_that_was_retired_while_it_stood_still_ships_nothing_more);
    tcase_add_test(t, a_writer_that_was_fenced_off_ships_nothing_more_and_keeps_it_all);
    tcase_add_test(t, a_writer_that_was_fenced_off_does_not_come_back);
    tcase_add_test(t, a_writer_whose_holds_went_with_a_rebuild_puts_them_again);
    tcase_add_test(t, a_writer_is_not_back_before_its_holds_are);
    tcase_add_test(t, a_writer_that_stood_still_goes_on);
    tcase_add_test(t, another_installations_redis_gets_nothing);
    tcase_add_test(t, a_parked_partition_holds_up_no_other);
    tcase_add_test(t, a_redis_that_was_emptied_is_noticed_without_any_new_record);
    tcase_add_test(t, a_parked_partition_that_was_rebuilt_is_shipped_to_again);
    tcase_add_test(t, a_writer_that_only_the_archive_has_is_replayed_from_there);
    tcase_add_test(t, a_file_of_which_redis_has_everything_is_not_read);
    tcase_add_test(t, what_cannot_be_booked_goes_to_suspense_and_the_rest_goes_on);
    tcase_add_test(t, what_the_journal_no_longer_holds_comes_from_the_archive);
    tcase_add_loop_test(t, what_is_archived_and_old_is_replayed_past_the_streams, 0, 2);
    tcase_add_loop_test(t, it_can_be_freed_while_commands_are_under_way, 1, 6);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    struct err err;

    if (!clock_set_zone("Asia/Shanghai", &err))
        return EXIT_FAILURE;
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
