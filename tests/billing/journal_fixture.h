/* journal_fixture.h - a journal in a directory of its own, calls to put into it, and an independent look at what it holds. */
#ifndef TOLLGATE_TESTS_JOURNAL_FIXTURE_H
#define TOLLGATE_TESTS_JOURNAL_FIXTURE_H

#include "billing/journal.h"

#define FIXTURE_SEGMENT (128 * 1024)
#define FIXTURE_NOW     INT64_C(1792483200000000000) /* 2026-10-20T08:00:00Z */

struct journal_fixture {
    char *top, *root, *archive;
    struct journal_config config;
    int notify_fd; /* an eventfd */
};

void fixture_open(struct journal_fixture *f);
void fixture_clear(struct journal_fixture *f);
/* The clock stands at `nanos` or goes on from there. */
void fixture_set_clock(int64_t nanos);

/* Opens and starts; fails the test if it cannot. */
struct journal *fixture_journal(struct journal_fixture *f);
/* Only opens it: journal_completed() does the work of the thread. */
struct journal *fixture_without_thread(struct journal_fixture *f);
char *fixture_dir(const struct journal_fixture *f, unsigned number); /* caller frees */

/* Call number i: what it is follows from i alone. Ends at journal_now(). */
struct event fixture_event(struct journal *j, unsigned i);
void fixture_request_id(unsigned i, char out[REQUEST_ID_TEXT]);
/* Reserve, begin, progress, end. */
void fixture_call(struct journal *j, unsigned i, journal_on_durable *on_durable, void *arg);
void fixture_count(void *arg); /* ++*(size_t *)arg */
/* Runs journal_completed() until *counter has reached `want`. */
void fixture_wait(struct journal_fixture *f, struct journal *j, const size_t *counter, size_t want);

/* All archived lines of a directory, in order, straight from its files; numbers are checked to be dense from where the first begins. */
struct fixture_lines {
    char **line;
    size_t count;
    struct record_heads heads;
};
void fixture_read(const char *dir, struct fixture_lines *out);
void fixture_lines_clear(struct fixture_lines *l);
/* How many of the lines are the END of call i. */
size_t fixture_ends(const struct fixture_lines *l, unsigned i);
size_t fixture_of_kind(const struct fixture_lines *l, const char *kind);
/* How many segments of the first directory are sealed: all but the last, or the test fails. */
size_t fixture_sealed_segments(const struct journal_fixture *f);

void fixture_remove(const char *path); /* with all that is in it */
void fixture_copy(const char *from, const char *to); /* a directory of plain files */

#endif
