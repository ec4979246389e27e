/* journal_promises.h - for tests of a journal on a failing disk: a process that writes, tells what it was promised and ends
 * somehow. Afterwards the directory is opened on a good disk and must keep every promise: what was told as durable is there
 * once, what was shipped has the same number and CRC, the rest is there at most once, numbers are dense, and every BEGIN has
 * its END. */
#ifndef TOLLGATE_TESTS_JOURNAL_PROMISES_H
#define TOLLGATE_TESTS_JOURNAL_PROMISES_H

#include "tests/billing/faulty_disk.h"
#include "tests/billing/journal_fixture.h"

/* Sanitizers make a process's start many times as dear: they look at every fifth operation. */
#ifdef __SANITIZE_ADDRESS__
#define EVERY 5
#else
#define EVERY 1
#endif

/* What a child tells its parent. */
enum { TOLD_DURABLE, TOLD_SHIPPED, TOLD_COUNT };
struct told {
    int what;
    unsigned i; /* the call, or the count */
    uint32_t crc;
    struct record_place place;
};

struct promises {
    struct told *told; /* whoever reads them frees this */
    size_t count;
    unsigned operations;
};

extern struct journal_fixture f;
extern int report_fd; /* of the child */

void set_up(void);
void tear_down(void);

/* --- In the child --- */

void tell_count(void); /* of the operations until now */
void ship(struct journal_tail *tail);
bool start_call(struct journal *j, unsigned i);
void end_call(struct journal *j, unsigned i);
/* Two processes after each other, each of many calls in all states. */
void two_stories(bool with_thread);

/* --- In the parent --- */

void read_promises(int fd, struct promises *p); /* and closes it */
/* Runs `story` in a process of its own whose n-th operation fails. Its exit status, or 1000 and the signal. */
int run(enum fault fault, unsigned n, unsigned seed, void (*story)(bool), bool with_thread,
        struct promises *p);
bool holds_shipped(const struct fixture_lines *lines, const struct told *t);
void check_no_call_is_open(const char *dir);
/* Opens every directory that stands, on a good disk, and once more after that. */
void check_recovery(const struct promises *p);
void start_afresh(void);
/* The child may have lost power: then what it left is under another name. */
void take_what_is_left(enum fault fault, int status);
unsigned count_operations(enum fault fault, void (*story)(bool), bool with_thread);

#endif
