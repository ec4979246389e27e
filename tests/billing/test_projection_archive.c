/* test_projection_archive.c - what the journal no longer has, or old calls whole, is replayed from the archive, and no more of it
 * than Redis lacks. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "billing/archive.h"
#include "billing/archive_retire.h"
#include "billing/zstd_file.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"
#include "tests/billing/projection_rig.h"

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

int main(void)
{
    TCase *t = tcase_create("projection_archive");

    tcase_set_timeout(t, 40);
    tcase_add_checked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, what_the_journal_no_longer_holds_comes_from_the_archive);
    tcase_add_loop_test(t, what_is_archived_and_old_is_replayed_past_the_streams, 0, 2);
    tcase_add_test(t, a_writer_that_only_the_archive_has_is_replayed_from_there);
    tcase_add_test(t, a_file_of_which_redis_has_everything_is_not_read);
    return run_tests(t, "projection_archive");
}
