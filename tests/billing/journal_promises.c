/* journal_promises.c - see the header. */
#include "tests/billing/journal_promises.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define CALLS      30
#define STORY_STEP 8

struct journal_fixture f;
int report_fd = -1;

void set_up(void)
{
    fixture_open(&f);
    disk_arm(FAULT_NONE, 0, NULL, NULL, 0);
}

void tear_down(void)
{
    disk_arm(FAULT_NONE, 0, NULL, NULL, 0);
    fixture_clear(&f);
}

/* --- In the child --- */

void tell_count(void)
{
    struct told t = {.what = TOLD_COUNT, .i = disk_count()};

    disk_report(report_fd, &t, sizeof t);
}

static void tell_durable(void *arg)
{
    struct told t = {.what = TOLD_DURABLE, .i = (unsigned)(uintptr_t)arg};

    disk_report(report_fd, &t, sizeof t);
}

void ship(struct journal_tail *tail)
{
    struct told t = {.what = TOLD_SHIPPED};
    struct record_head head;
    struct span line;

    while (tail && journal_tail_next(tail, &head, &line, &t.crc, NULL) == 1) {
        t.place = head.place;
        disk_report(report_fd, &t, sizeof t);
    }
}

/* Every second one is as large as an event with many owners is, so that segments fill. */
static struct event make_event(struct journal *j, unsigned i)
{
    struct event e = fixture_event(j, i);

    if (i % 2 == 0)
        return e;
    for (e.owner_count = 0; e.owner_count < OWNERS_MAX; e.owner_count++) {
        struct owner *o = &e.owners[e.owner_count];

        memset(o->id, (int)('a' + e.owner_count), ID_TEXT - 1);
        o->id[ID_TEXT - 1] = '\0';
        o->weight = 1;
    }
    snprintf(e.contract, sizeof e.contract, "%s@2026-01-01T00:00:00.000Z", e.owners[0].id);
    return e;
}

bool start_call(struct journal *j, unsigned i)
{
    struct event e = make_event(j, i);

    if (!journal_reserve(j, NULL))
        return false;
    journal_begin(j, &e, NULL, NULL);
    for (int n = 0; n < 3; n++)
        journal_progress(j, &e);
    return true;
}

void end_call(struct journal *j, unsigned i)
{
    struct event e = make_event(j, i);

    journal_call(j, &e, tell_durable, (void *)(uintptr_t)i);
}

/* Calls overlap; some batches have only what needs no sync; a segment is filled in the middle of one, another is sealed when
 * asked; a period ends; some calls never do. */
static void tell_calls(struct journal *j, struct journal_tail *tail, unsigned from)
{
    for (unsigned i = from; i < from + CALLS; i++) {
        bool started = start_call(j, i);

        if (i % 6 == 1)
            journal_completed(j);
        if (started && i % 15 != 7)
            end_call(j, i);
        if (i % STORY_STEP == 0)
            journal_completed(j);
        if (i == from + 28)
            journal_seal(j, NULL, NULL);
        if (i == from + 26)
            fixture_set_clock(FIXTURE_NOW + 20 * 86400 * NANOS_PER_SECOND);
        if (i % 4 == 0)
            journal_tick(j);
        ship(tail);
    }
}

static void tell_story(unsigned from, bool with_thread)
{
    struct journal *j = journal_open(&f.config, NULL, NULL);
    struct record_heads heads;
    struct journal_tail *tail;

    if (!j)
        return;
    heads = *journal_heads(j);
    tail = journal_tail_new(j, &heads, NULL);
    if (with_thread && !journal_start(j, f.notify_fd, NULL))
        exit(1);
    tell_calls(j, tail, from);
    journal_completed(j);
    ship(tail);
    journal_tail_free(tail);
    journal_free(j);
}

void two_stories(bool with_thread)
{
    tell_story(0, with_thread);
    tell_story(CALLS, with_thread);
    tell_count();
}

/* --- In the parent --- */

void read_promises(int fd, struct promises *p)
{
    struct told t;

    *p = (struct promises){0};
    while (read(fd, &t, sizeof t) == (ssize_t)sizeof t) {
        if (t.what == TOLD_COUNT)
            p->operations = t.i;
        if ((p->count & (p->count - 1)) == 0)
            p->told = xrealloc_array(p->told, p->count ? 2 * p->count : 1, sizeof *p->told);
        p->told[p->count++] = t;
    }
    close(fd);
}

int run(enum fault fault, unsigned n, unsigned seed, void (*story)(bool), bool with_thread,
        struct promises *p)
{
    AUTO_STRING after = path_join(f.top, "after");
    int pipe_fds[2], status;
    pid_t child;

    ck_assert(pipe(pipe_fds) == 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(pipe_fds[0]);
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        report_fd = pipe_fds[1];
        disk_arm(fault, n, f.root, after, seed);
        story(with_thread);
        _exit(0);
    }
    close(pipe_fds[1]);
    read_promises(pipe_fds[0], p);
    ck_assert(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        return 1000 + WTERMSIG(status);
    return WEXITSTATUS(status);
}

static bool is_at(const struct record_place *a, const struct record_place *b)
{
    bool same = true;

    for (int side = 0; side < SIDES; side++)
        same = same && a->on[side] == b->on[side] && a->partition[side] == b->partition[side] &&
               a->n[side] == b->n[side];
    return same;
}

bool holds_shipped(const struct fixture_lines *lines, const struct told *t)
{
    for (size_t k = 0; k < lines->count; k++) {
        struct span line = span_of(lines->line[k]);
        struct record_head head;

        ck_assert(record_head_parse(line, &head, NULL));
        if (is_at(&head.place, &t->place))
            return crc32c(0, line.data, line.len) == t->crc;
    }
    return false;
}

static void check_promises(const char *dir, const struct promises *p)
{
    struct fixture_lines lines;

    fixture_read(dir, &lines);
    for (size_t k = 0; k < p->count; k++) {
        if (p->told[k].what == TOLD_DURABLE)
            ck_assert_msg(fixture_ends(&lines, p->told[k].i) == 1, "call %u was durable",
                          p->told[k].i);
        else if (p->told[k].what == TOLD_SHIPPED)
            ck_assert_msg(holds_shipped(&lines, &p->told[k]), "a shipped record has changed");
    }
    for (unsigned i = 0; i < 2 * CALLS; i++)
        ck_assert_msg(fixture_ends(&lines, i) <= 1, "call %u has two ENDs", i);
    fixture_lines_clear(&lines);
}

void check_no_call_is_open(const char *dir)
{
    struct segment_file *files;
    size_t count;

    ck_assert(segment_list(dir, &files, &count, NULL));
    for (size_t i = 0; i < count; i++) {
        struct segment_header h;

        ck_assert(segment_header_read(files[i].path, &h, NULL));
        if (i + 1 == count)
            ck_assert_uint_eq(h.open_position, h.position);
    }
    segment_list_free(files, count);
}

void check_recovery(const struct promises *p)
{
    AUTO_STRING dir = fixture_dir(&f, 1);
    AUTO_CLEAR(buf) damaged;
    struct journal *j;
    size_t durable = 0;
    struct err err;

    buf_init(&damaged, 4096);
    for (unsigned round = 0; round < 2; round++) {
        j = journal_open(&f.config, &damaged, &err);
        ck_assert_msg(j, "%s", err.text);
        ck_assert_msg(damaged.len == 0, "%s", damaged.data);
        ck_assert_str_eq(journal_dir(j), dir);
        fixture_call(j, 2000 + round, fixture_count, &durable);
        journal_completed(j);
        ck_assert_uint_eq(durable, round + 1);
        journal_free(j);
        check_promises(dir, p);
    }
    check_no_call_is_open(dir);
}

void start_afresh(void)
{
    AUTO_STRING after = path_join(f.top, "after");

    fixture_remove(f.root);
    fixture_remove(f.archive);
    fixture_remove(after);
    fixture_set_clock(FIXTURE_NOW);
}

void take_what_is_left(enum fault fault, int status)
{
    AUTO_STRING after = path_join(f.top, "after");

    if (fault != FAULT_POWER || status != DISK_EXIT)
        return;
    fixture_remove(f.root);
    ck_assert(rename(after, f.root) == 0);
}

unsigned count_operations(enum fault fault, void (*story)(bool), bool with_thread)
{
    struct promises p;

    start_afresh();
    ck_assert_int_eq(run(fault, 0, 0, story, with_thread, &p), 0);
    ck_assert_uint_gt(p.operations, 0);
    free(p.told);
    return p.operations;
}
