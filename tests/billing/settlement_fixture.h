/* settlement_fixture.h - a small platform as settlement sees it: an archive, written file by
 * file in its documented form, and the sums that Redis would have. Everything can be bent before
 * it is settled. */
#ifndef TOLLGATE_TESTS_SETTLEMENT_FIXTURE_H
#define TOLLGATE_TESTS_SETTLEMENT_FIXTURE_H

#include <check.h>

#include "billing/archive.h"
#include "billing/archive_file.h"
#include "billing/settlement.h"

#define WORLD_INSTALLATION "in-0123456789abcdef"
#define WORLD_ZONE         "Asia/Shanghai"
#define WORLD_WRITERS      4
#define WORLD_EVENTS       512

/* One writer, as its journal would keep it. */
struct world_writer {
    char id[WRITER_TEXT];
    struct writer_totals totals;
    struct record_heads heads;
    uint64_t segment;
    char chain[SHA256_HEX];
    struct buf lines; /* of the segment to come */
    struct archive_header header;
};

struct world {
    char *top, *archive;
    struct signing_key *key;
    struct settlement_sources sources;
    struct ledger_sums redis; /* what read_ledger() answers */
    int64_t redis_ahead;      /* nanoseconds */
    bool redis_is_away;
    struct world_writer writer[WORLD_WRITERS];
    size_t price_count;
    struct price price[16];
    size_t event_count;
    struct event event[WORLD_EVENTS]; /* all that were written */
};

/* In a folder of its own, the clock at `now` (RFC 3339), no writer yet. */
struct world *world_new(const char *now);
void world_free(struct world *w);
void world_clock(const char *now);
char *world_path(const struct world *w, const char *name); /* in its folder; caller frees */

void world_begin(struct world *w, unsigned writer, const char *period);
/* A price of input and output tokens, in the currency; a contract. Written by that writer. */
void world_price(struct world *w, unsigned writer, const char *id, const char *from,
                 const char *currency, const char *input, const char *output);
void world_contract(struct world *w, unsigned writer, const char *creator, const char *from,
                    int64_t share_bp);
/* A call of `account` on creator/model under the price of that number, owned by `owners`
 * ("a:1,b:2"). Rated; not written yet. */
struct event world_event(const struct world *w, const char *account, const char *model,
                         size_t price, const char *owners, int64_t share_bp, int64_t input,
                         const char *ended);
void world_write(struct world *w, unsigned writer,
                 const struct event *e); /* and into Redis's sums */
/* Only the archive, not Redis's sums. */
void world_write_only(struct world *w, unsigned writer, const struct event *e);
/* So much given back of the event, booked at that time; not written yet. */
struct refund world_refund(const struct event *e, const char *op, int64_t nanos, const char *at);
/* Into Redis's sums only if it counts. */
void world_write_refund(struct world *w, unsigned writer, const struct refund *r, bool counts);
void world_forget_sums(struct world *w);           /* Redis's: another period is asked for next */
void world_seal(struct world *w, unsigned writer); /* the period that the writer is in */
void world_archive(struct world *w, unsigned writer); /* what was written since becomes a segment */

/* The contract's version of a creator whose contract began at the usual time. */
#define WORLD_FROM "2026-01-01T00:00:00.000Z"

/* A month with two writers, two creators, three calls; sealed and archived. Over, if the clock
 * says so. */
struct world *world_november(const char *now);

/* Closes the period, which was not closed before. */
void world_close(struct world *w, const char *period);
/* Closing fails, says this, and leaves nothing. */
void world_refuses(struct world *w, const char *period, const char *sentence);

struct period period_text(const char *text);
char *file_text(const char *dir, const char *name); /* caller frees; fails the test */
/* Same names, same bytes. */
bool dirs_are_equal(const char *a, const char *b);
void run_command(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
