/* What settlement reads from a real Redis, into which the apply scripts booked the archive's own
 * records. */
#include <stdio.h>

#include "billing/closes.h"
#include "billing/ledger_redis.h"
#include "billing/projection_effects.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/redis_fixture.h"
#include "tests/billing/settlement_fixture.h"

static struct fixture redis;

static void start(void)
{
    fixture_start(&redis, false);
}

static void stop(void)
{
    fixture_stop(&redis);
}

static void on_ready(void *arg)
{
    (void)arg;
}

static void on_lost(void *arg, const struct err *err)
{
    (void)arg;
    (void)err;
}

static struct ledger_redis connect_to(const char *address)
{
    const struct redis_config config = {
        .address = address, .connect_ms = 1000, .command_ms = 5000, .pending_max = 16};
    const struct redis_handlers handlers = {on_ready, on_lost};
    struct ledger_redis l = {.timeout_ms = 5000};
    struct err err;

    l.loop = loop_new(&err);
    l.redis = redis_new(l.loop, &config, &handlers, NULL, &err);
    ck_assert_msg(l.redis != NULL, "%s", err.text);
    return l;
}

static struct ledger_redis connect_ledger(void)
{
    AUTO_STRING address = xasprintf("unix:%s", redis.socket);

    return connect_to(address);
}

static void disconnect(struct ledger_redis *l)
{
    redis_free(l->redis);
    loop_free(l->loop);
}

/* One record, one batch for each of its sides. */
static void apply(struct effects *effects, const struct record_head *head, struct span line,
                  uint32_t crc)
{
    effects_read(effects, head, line, crc, 0);
    for (int side = 0; side < SIDES; side++) {
        struct batch b;

        if (!head->place.on[side])
            continue;
        batch_init(&b);
        batch_start(&b, (struct partition){(enum partition_side)side, head->place.partition[side]},
                    WORLD_INSTALLATION, head->writer, FROM_JOURNAL);
        effects_add(effects, &b);
        AUTO_STRING answer = fixture_apply(&redis, &b);
        ck_assert_msg(strncmp(answer, "OK", 2) == 0, "%s", answer);
        batch_clear(&b);
    }
}

static void project(const struct world *w, unsigned writers)
{
    AUTO(effects) effects = effects_new();

    for (unsigned i = 0; i < writers; i++) {
        AUTO(archive_reader) r = archive_reader_open(w->archive, w->writer[i].id, NULL);
        struct record_head head;
        struct span line;
        uint32_t crc;

        while (archive_reader_next(r, &head, &line, &crc, NULL) == 1)
            if (record_is_numbered(head.kind))
                apply(effects, &head, line, crc);
    }
}

START_TEST(redis_and_archive_spell_the_same_sums)
{
    struct world *w = world_november("2026-12-01T09:00:00Z");
    struct ledger_redis l = connect_ledger();
    AUTO_CLEAR(ledger_sums) found;
    AUTO_CLEAR(reasons) reasons = {0};
    struct err err;

    project(w, 2);
    ledger_sums_init(&found);
    ck_assert_msg(ledger_redis_read(&l, period_text("2026-11"), &found, &err), "%s", err.text);
    ck_assert_uint_eq(sum_table_count(found.side[SIDE_ACCOUNT]), 2);
    ck_assert_uint_eq(sum_table_count(found.side[SIDE_MODEL]), 3);
    ledger_sums_compare(&w->redis, &found, &reasons);
    ck_assert_msg(reasons.count == 0, "%s", reasons.sentence[0]);
    ck_assert_uint_eq(found.suspense.count, 0);
    ck_assert_int_le(llabs(found.redis_time - clock_now()), 5 * NANOS_PER_SECOND);
    disconnect(&l);
    world_free(w);
}
END_TEST

START_TEST(redis_and_archive_spell_the_same_refunds)
{
    struct world *w = world_november("2026-12-01T09:00:00Z");
    struct ledger_redis l = connect_ledger();
    AUTO_CLEAR(ledger_sums) found;
    AUTO_CLEAR(reasons) reasons = {0};
    struct refund r;
    struct err err;

    world_forget_sums(w);
    r = world_refund(&w->event[1], "op-1", 1001, "2026-12-04T10:00:00.000Z");
    world_write_refund(w, 0, &r, true);
    r = world_refund(&w->event[1], "op-2", 7, "2026-12-05T10:00:00.000Z");
    world_write_refund(w, 1, &r, true);
    world_write_refund(w, 0, &r, false);
    for (unsigned i = 0; i < 2; i++)
        world_archive(w, i);
    project(w, 2);
    ledger_sums_init(&found);
    ck_assert_msg(ledger_redis_read(&l, period_text("2026-12"), &found, &err), "%s", err.text);
    for (int side = 0; side < SIDES; side++) {
        ck_assert_uint_eq(sum_table_count(found.side[side]), 0);
        ck_assert_uint_eq(sum_table_count(found.refunds[side]), 1);
    }
    ledger_sums_compare(&w->redis, &found, &reasons);
    ck_assert_msg(reasons.count == 0, "%s", reasons.sentence[0]);
    disconnect(&l);
    world_free(w);
}
END_TEST

START_TEST(a_period_closes_against_a_real_redis)
{
    struct world *w = world_november("2026-12-01T09:00:00Z");
    struct ledger_redis l = connect_ledger();
    AUTO_CLEAR(settlement_report) refused = {0};
    AUTO_CLEAR(settlement_report) closed = {0};
    struct err err = {0};

    w->sources.read_ledger = ledger_redis_read;
    w->sources.arg = &l;
    project(w, 1);
    ck_assert(!settlement_close(&w->sources, period_text("2026-11"), NULL, &refused, &err));
    ck_assert_ptr_nonnull(strstr(err.text,
                                 "\"acme CNY\" has 2.469134 in 1 calls in Redis, but 2.471136 in 2 "
                                 "calls in the archive"));
    project(w, 2);
    ck_assert_msg(settlement_close(&w->sources, period_text("2026-11"), NULL, &closed, &err), "%s",
                  err.text);
    disconnect(&l);
    world_free(w);
}
END_TEST

START_TEST(large_hashes_are_read_whole)
{
    struct ledger_redis l = connect_ledger();
    AUTO_CLEAR(ledger_sums) found;
    char key[PARTITION_KEY];
    struct err err;
    int64_t total = 0;

    partition_key((struct partition){SIDE_ACCOUNT, 3}, "debits", "2026-11", key);
    for (int i = 0; i < 5000; i++) {
        AUTO_STRING field = xasprintf("account-with-some-longer-name-%d CNY", i);

        freeReplyObject(fixture_command(&redis, "HSET %s %b %d", key, field, strlen(field), i));
    }
    ledger_sums_init(&found);
    ck_assert_msg(ledger_redis_read(&l, period_text("2026-11"), &found, &err), "%s", err.text);
    for (size_t i = 0; i < sum_table_count(found.side[SIDE_ACCOUNT]); i++)
        total += (int64_t)sum_table_at(found.side[SIDE_ACCOUNT], i)->nanos;
    ck_assert_uint_eq(sum_table_count(found.side[SIDE_ACCOUNT]), 5000);
    ck_assert_int_eq(total, 5000 * 4999 / 2);
    disconnect(&l);
}
END_TEST

START_TEST(suspense_is_told_with_its_place)
{
    struct ledger_redis l = connect_ledger();
    AUTO_CLEAR(ledger_sums) found;
    char key[PARTITION_KEY];
    struct err err;

    partition_key((struct partition){SIDE_MODEL, 9}, "suspense", NULL, key);
    freeReplyObject(
        fixture_command(&redis, "HSET %s %s %s", key, "w-0000000000000001 12", "why {}"));
    ledger_sums_init(&found);
    ck_assert_msg(ledger_redis_read(&l, period_text("2026-11"), &found, &err), "%s", err.text);
    ck_assert_uint_eq(found.suspense.count, 1);
    ck_assert_str_eq(found.suspense.sentence[0],
                     "suspense of partition m09 is not empty: \"w-0000000000000001 12\" why");
    disconnect(&l);
}
END_TEST

START_TEST(garbage_and_absence_are_errors)
{
    struct ledger_redis l = connect_ledger();
    struct ledger_redis away = connect_to("unix:/nonexistent/redis.sock");
    AUTO_CLEAR(ledger_sums) found;
    char key[PARTITION_KEY];
    struct err err;

    ledger_sums_init(&found);
    partition_key((struct partition){SIDE_ACCOUNT, 3}, "debits", "2026-11", key);
    freeReplyObject(fixture_command(&redis, "HSET %s %s %s", key, "acme", "1.5"));
    ck_assert(!ledger_redis_read(&l, period_text("2026-11"), &found, &err));
    ck_assert_str_eq(err.text, "tg:{a03}:debits:2026-11: \"acme\" has no number");
    freeReplyObject(fixture_command(&redis, "DEL %s", key));
    freeReplyObject(fixture_command(&redis, "SET %s x", key));
    ck_assert(!ledger_redis_read(&l, period_text("2026-11"), &found, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "WRONGTYPE"));
    away.timeout_ms = 100;
    ck_assert(!ledger_redis_read(&away, period_text("2026-11"), &found, &err));
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    disconnect(&away);
    disconnect(&l);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("ledger redis");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, start, stop);
    tcase_add_test(tcase, redis_and_archive_spell_the_same_sums);
    tcase_add_test(tcase, redis_and_archive_spell_the_same_refunds);
    tcase_add_test(tcase, a_period_closes_against_a_real_redis);
    tcase_add_test(tcase, large_hashes_are_read_whole);
    tcase_add_test(tcase, suspense_is_told_with_its_place);
    tcase_add_test(tcase, garbage_and_absence_are_errors);
    return run_tests(tcase, "ledger redis");
}
