/* archive_search.h - finds calls in the archive a slice at a time: one by its request id, or the
 * newest of an account. Opens only segments that may hold what is looked for, by the times and
 * partitions of an archive_index; memory is bounded by the query's limit. */
#ifndef TOLLGATE_BILLING_ARCHIVE_SEARCH_H
#define TOLLGATE_BILLING_ARCHIVE_SEARCH_H

#include "billing/archive_index.h"

struct archive_query {
    const char *request_id; /* this call; null: a list */
    const char *account;    /* of this account; null: any */
    /* Of a list: how many, and only those that come behind (before_at, before_id), newest first. */
    size_t limit;
    int64_t before_at; /* INT64_MAX: from the newest on */
    char before_id[REQUEST_ID_TEXT];
};
struct archive_search;
/* Copies the query, and of the index what it needs. */
struct archive_search *archive_search_new(const char *archive, const struct archive_index *index,
                                          const struct archive_query *query) MUST_USE;
void archive_search_free(struct archive_search *s);
DEFINE_AUTO(archive_search)
/* Goes on for about `nanos`. 1: it is over; 0: there is more to read; -1: a file cannot be read. */
int archive_search_step(struct archive_search *s, int64_t nanos, struct err *err) MUST_USE;

/* What was found, newest first by (ended_at, request id); `line` is the whole record. */
struct found_call {
    int64_t ended_at;
    char request_id[REQUEST_ID_TEXT];
    char *line;
};
const struct found_call *archive_search_calls(const struct archive_search *s, size_t *count);
bool archive_search_has_more(const struct archive_search *s); /* than the limit */

#endif
