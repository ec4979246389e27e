/* settlement.h - a month's bundle: previewed while it runs, closed once, exported and verified as
 * often as anyone likes. Everything the command line calls; all of it blocks.
 *
 * A bundle (bundle.h) is a directory of statements.csv, statements.jsonl, lines.csv, accounts.csv,
 * events.jsonl.zst, terms.json, manifest.json and manifest.sig. It is a pure function of the
 * archived events of the period, sorted by (ended_at, request_id), and of the versions that they
 * name. A close is archive/closes/<period>/, put there by one rename; its bytes never change. */
#ifndef TOLLGATE_BILLING_SETTLEMENT_H
#define TOLLGATE_BILLING_SETTLEMENT_H

#include "billing/ledger_sums.h"
#include "billing/period.h"
#include "billing/reasons.h"
#include "billing/record.h"
#include "billing/segment.h"
#include "lib/base/crypto.h"
#include "lib/base/json.h"

/* Where the facts are. The process's zone (clock_set_zone) must be `zone`. */
struct settlement_sources {
    const char *archive;
    const char *installation;
    const char *zone;
    bool testing;                  /* stated in the manifest */
    const struct signing_key *key; /* null for status */
    /* Fills *out, which is initialised, from Redis (ledger_redis.h does it). */
    bool (*read_ledger)(void *arg, struct period p, struct ledger_sums *out, struct err *err);
    void *arg;
};

enum settlement_state {
    SETTLEMENT_OPEN, /* the period is running, or has not begun */
    SETTLEMENT_OVER, /* its time is over, it is not closed */
    SETTLEMENT_CLOSED,
};
const char *settlement_state_name(enum settlement_state s); /* open, over, closed */

/* What was done or found; for people as text, for programs as JSON. Zero it before the call; it is
 * filled also when close refuses: then it has all reasons, err only the first. */
struct settlement_report {
    struct period period;
    enum settlement_state state;
    bool was_kept;      /* close: it had been closed before, these are the kept bytes */
    char *dir;          /* where the bundle is; null: none was written */
    json_t *statements; /* the lines of statements.jsonl, the trailer last; null without a bundle */
    struct reasons reasons; /* why the period cannot be closed (now) */
    size_t period_count;    /* status: every period that the archive knows, in order */
    struct settlement_period {
        struct period period;
        enum settlement_state state;
        uint64_t events;
    } * periods;
    size_t writer_count; /* status: the writers of `period` */
    struct settlement_writer {
        char writer[WRITER_TEXT];
        struct period first_period;
        uint64_t segments, records,
            events; /* archived segments; numbered records and events of the period */
        bool is_sealed;
    } * writers;
};
void settlement_report_clear(struct settlement_report *r);
DEFINE_AUTO_CLEAR(settlement_report)
void settlement_report_text(const struct settlement_report *r, struct buf *out);
void settlement_report_json(const struct settlement_report *r, struct jw *w); /* one object */

/* The running (or any unclosed) period from what is archived at this moment, neither numbered
 * nor closed: statements are called "preview", the manifest states which heads it covers. Ask
 * all writers to seal and archive first. `out_dir` null: only the report. Redis is not read. */
bool settlement_preview(const struct settlement_sources *s, struct period p, const char *out_dir,
                        struct settlement_report *report, struct err *err) MUST_USE;
/* Refuses with ERR_DENIED while there is any reason to; a period that is closed already gives
 * its kept bytes again. `out_dir` null: the bundle stays in the archive only. */
bool settlement_close(const struct settlement_sources *s, struct period p, const char *out_dir,
                      struct settlement_report *report, struct err *err) MUST_USE;
/* Copies the kept bytes. ERR_NOT_FOUND when the period is not closed. */
bool settlement_export(const char *archive, struct period p, const char *out_dir,
                       struct settlement_report *report, struct err *err) MUST_USE;
/* Periods, writers, seals, and why close would refuse. `p` null: the earliest period that is
 * over and not closed, else the running one. Fails only when the archive cannot be read at all. */
bool settlement_status(const struct settlement_sources *s, const struct period *p,
                       struct settlement_report *report, struct err *err) MUST_USE;

/* `out_dir` of all three is created; a bundle of the same period and kind in it is replaced. Any
 * other bundle or file in it is ERR_EXISTS, before anything is done. */

struct settlement_proof {
    const char *dir; /* the bundle */
    const char
        *key_file; /* pins the key: a public key, raw 32 bytes, PEM, JWK or JWKS; null: unpinned */
    const char *previous; /* the directory of the bundle before; null: openings as stated */
    const char *archive;  /* null: whether events are missing is not proven */
};
struct settlement_verdict {
    char kind[8]; /* close, preview */
    struct period period;
    char installation[INSTALLATION_TEXT], key_id[KEY_ID_TEXT];
    bool testing, is_pinned, is_chained, is_complete;
    int64_t events, refunds, statements;
};
/* Recomputes every file of the bundle from its events and terms alone and compares bytes; then
 * signature, hashes, rows, sums, chain. The first thing that is not as it must be is the error,
 * naming the file and what is wrong with it. Needs no configuration; sets the process's zone to
 * the bundle's. */
bool settlement_verify(const struct settlement_proof *proof, struct settlement_verdict *verdict,
                       struct err *err) MUST_USE;
void settlement_verdict_text(const struct settlement_verdict *v, struct buf *out);
void settlement_verdict_json(const struct settlement_verdict *v, struct jw *w);

#endif
