/* journal_report.h - the journal directories of this host, read from outside while their owners write. */
#ifndef TOLLGATE_GATEWAY_JOURNAL_REPORT_H
#define TOLLGATE_GATEWAY_JOURNAL_REPORT_H

#include <sys/types.h>

#include "billing/journal.h"

struct journal_entry {
    char *dir;
    char writer[WRITER_TEXT];
    pid_t owner;          /* 0: nobody holds it */
    bool is_damaged;
    size_t segments;      /* all, and how many of them are sealed */
    size_t sealed;
    uint64_t last_segment;     /* its number */
    bool last_is_sealed;
    uint64_t unsealed_records; /* numbered records and SEALs in the open segment */
    struct record_heads heads; /* of everything written */
};
struct journal_report {
    struct journal_entry *entries;
    size_t count;
};
/* Directories that have no segment yet are left out. */
bool journal_report_read(const char *root, struct journal_report *out, struct err *err) MUST_USE;
void journal_report_clear(struct journal_report *r);
DEFINE_AUTO_CLEAR(journal_report)
/* The writer's directory on this host, unless it is damaged; null: there is none. */
const struct journal_entry *journal_report_find(const struct journal_report *r, const char *writer);
/* The members dir, owner_pid, damaged, segments, sealed, unsealed_records, record_places of an object. */
void journal_entry_write(const struct journal_entry *e, struct jw *w);
/* Numbered records on both sides: the sum of all heads. */
uint64_t journal_entry_records(const struct journal_entry *e);

#endif
