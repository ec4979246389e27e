/* webhook_record.h - where an account's threshold notices go, and which were raised: as records say it, and Redis has it.
 *
 * A webhook is made once, by an operation, and ends once: deleted, or gone when its receiver answered 410. A notice is raised
 * once for what it says, and done once for each webhook: delivered, or given up. All of these are firsts: what a record says
 * again, whoever's it is, changes nothing. So two consoles that raise the same crossing raise it once.
 *
 * Bodies of records:
 *   webhook made     {"account","url"}
 *   webhook ended    {"why":"deleted"|"gone"}
 *   notice raised    what is sent, byte for byte: {"type":"budget.threshold_reached","timestamp","data":{…}} (threshold.h)
 *   notice done      {"result":"delivered"|"given_up","status"}   status: the last answer's, 0 for none
 *
 * In Redis, each entry being "at writer n body":
 *   tg:{a17}:webhooks                    made <id>, ended <id>
 *   tg:{a17}:notices:<account>:<month>   raised <id>, done <id>.<webhook>
 * What receivers did last stands beside these, in no record (gateway/webhook_list.h). */
#ifndef TOLLGATE_BILLING_WEBHOOK_RECORD_H
#define TOLLGATE_BILLING_WEBHOOK_RECORD_H

#include "billing/event.h"
#include "billing/partition.h"

/* Behind "notices:"; the month of the notice's day, "2026-11-22" or "2026-11". */
#define NOTICES_TEXT (ID_TEXT + PERIOD_TEXT)
const char *notices_name(const char *account, const char *day, char out[NOTICES_TEXT]);

/* "wh_", the number of the account's partition in two digits, and ten of [0-9a-z]. */
#define WEBHOOK_ID_TEXT 16
/* "msg_" and 32 hex digits. */
#define NOTICE_ID_TEXT 37
/* False: `id` is none. */
bool webhook_id_partition(const char *id, struct partition *out) MUST_USE;

/* Bodies of records; `at` from journal_now(). */
struct webhook_making {
    const char *id, *account, *url, *op;
    int64_t at;
};
void webhook_made_write(const struct webhook_making *m, struct buf *out);
struct webhook_ending {
    const char *id, *account, *op; /* op null: nobody asked for it */
    bool is_gone;
    int64_t at;
};
void webhook_ended_write(const struct webhook_ending *e, struct buf *out);
struct notice_raising {
    const char *id, *account, *period; /* a day or a month */
    struct span body;
    int64_t at;
};
void notice_raised_write(const struct notice_raising *r, struct buf *out);
/* A notice that is done for one webhook. Borrowed texts. */
struct notice_done {
    const char *notice, *webhook, *account, *month;
    bool is_delivered, is_gone; /* gone: the receiver wants no more, for ever */
    unsigned status;
    int64_t at;
};
void notice_done_write(const struct notice_done *d, struct buf *out);

/* An entry: when, which of its writer's records, and the body, which borrows from it. */
struct first_entry {
    int64_t at; /* nanos */
    int64_t n;
    struct span body;
};
bool first_entry_read(struct span entry, struct first_entry *out) MUST_USE;

#endif
