/* archive_fixture.h - for tests of the archive: a journal with sealed segments, on a disk that can be told to fail, and what of
 * them is archived. */
#ifndef TOLLGATE_TESTS_ARCHIVE_FIXTURE_H
#define TOLLGATE_TESTS_ARCHIVE_FIXTURE_H

#include "tests/billing/journal_fixture.h"

#define DAY (86400 * NANOS_PER_SECOND)

extern struct journal_fixture f;
extern char *dir; /* of its journal */

void set_up(void);
void tear_down(void);

/* `segments` sealed ones of `calls` calls each, a day apart. Returns the writer's name; caller frees. */
char *fill(unsigned segments, unsigned calls);
/* Archives what is sealed: how many segments. */
size_t add(void);
/* Reads everything; the lines, or -1 and why. */
int read_archive(const char *writer, struct fixture_lines *out, struct err *err);
void check_same_as_journal(const char *writer);

#endif
