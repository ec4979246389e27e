/* settlement_gathering.h - everything that a period's bundle is made of, read from the archive
 * and from the close before. */
#ifndef TOLLGATE_BILLING_SETTLEMENT_GATHERING_H
#define TOLLGATE_BILLING_SETTLEMENT_GATHERING_H

#include "billing/archive_scan.h"
#include "billing/fact_list.h"
#include "billing/funds_set.h"
#include "billing/ledger_sums.h"
#include "billing/reasons.h"

struct settlement_sources;

struct gathering {
    struct archive_scan scan;
    struct terms terms;
    struct fact_list facts;
    struct funds_set funds;
    struct ledger_sums sums;
    char previous[SHA256_HEX]; /* of the manifest of the close before; "": none */
};
/* `spool_dir` null: events are only added up. What is wrong with the archive is in scan.damage. */
bool gathering_read(struct gathering *g, const struct settlement_sources *s, struct period p,
                    const char *spool_dir, struct err *err) MUST_USE;
void gathering_clear(struct gathering *g);
DEFINE_AUTO_CLEAR(gathering)

/* A sentence for everything that forbids to close the period now. Asks Redis. */
void gathering_refusals(struct gathering *g, const struct settlement_sources *s,
                        struct reasons *out);
/* Writes the bundle into the empty directory. */
bool gathering_bundle(struct gathering *g, const struct settlement_sources *s, bool is_preview,
                      const char *dir, struct err *err) MUST_USE;

#endif
