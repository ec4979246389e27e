/* archive_put.h - one more file of a writer's archive, whole or not at all. */
#ifndef TOLLGATE_BILLING_ARCHIVE_PUT_H
#define TOLLGATE_BILLING_ARCHIVE_PUT_H

#include "billing/archive_file.h"

/* 1: a line, without its newline, valid until the next call; 0: there is no more; -1: failed. */
typedef int archive_next_line(void *arg, struct span *line, struct err *err);
/* Writes the header and all lines aside, syncs, links them to the name that the header says, syncs the directory, which
 * must be there. A file that stands there already with the same bytes is as good; with others it is ERR_CORRUPT. */
bool archive_put(const char *archive, const struct archive_header *h, archive_next_line *next,
                 void *arg, char sha256[SHA256_HEX], struct err *err) MUST_USE;

#endif
