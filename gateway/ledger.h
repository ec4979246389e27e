/* ledger.h - what ties a process to the ledger: Redis and what is read from it (keys, catalogue), a journal of its own, and
 * the projection that ships it. Workers and the console have one each. */
#ifndef TOLLGATE_GATEWAY_LEDGER_H
#define TOLLGATE_GATEWAY_LEDGER_H

#include "billing/journal.h"
#include "billing/projection.h"
#include "gateway/catalogue.h"
#include "gateway/installation.h"
#include "gateway/keyring.h"
#include "gateway/options.h"

struct ledger_handlers {
    void (*on_redis)(void *arg, bool is_ready); /* null: not told */
    void (*on_journal)(void *arg);              /* a journal was opened; null: not told */
    void (*on_put_holds)(void *arg);            /* null: there are none */
    void (*on_rebuild)(void *arg); /* partitions were emptied, to be filled again; null: not told */
    struct histogram *sync_times;  /* of the journal; null: not taken */
    bool has_changes; /* the journal is for changes, not calls: sealed when one is `changes_age` old */
};

/* Read by everybody, changed by ledger.c alone. */
struct ledger {
    const struct options *options;
    const struct installation *installation;
    struct loop *loop;
    struct redis *redis;
    struct keyring *keyring;
    struct zones *zones; /* of accounts, as they are asked for */
    struct catalogue *catalogue;   /* the present snapshot; null until first read */
    bool has_catalogue;            /* it was read at least once */
    struct journal *journal;       /* null while no directory can be opened: it is tried again */
    struct projection *projection; /* likewise */
    bool is_stopped;               /* Redis contradicts the journal: nothing more may be recorded */
    struct ledger_link *link;      /* what only ledger.c knows */
};

/* Its options, installation and loop were filled in, and are borrowed; the handlers are copied. On failure ledger_close() still
 * must be called. */
bool ledger_open(struct ledger *l, const struct ledger_handlers *handlers, void *arg,
                 struct err *err) MUST_USE;
/* Once a second: the journal's own clockwork, and what is read anew from time to time. */
void ledger_tick(struct ledger *l);
/* The open segment is sealed; nobody is told. */
void ledger_seal(struct ledger *l);
/* Nothing more will be recorded: calls back, once, when Redis has all of the journal, so that who takes the directory up next has
 * nothing to catch up with; or when that can't be (Redis is away) or takes more than 10 s. */
void ledger_finish(struct ledger *l, void (*on_finished)(void *), void *arg);
/* Stops shipping and speaking with Redis; what waited for an answer of Redis is told so. The journal still takes records. */
void ledger_disconnect(struct ledger *l);
void ledger_close(struct ledger *l);

/* How every journal of this installation is opened, and how each is shipped. */
struct journal_config ledger_journal_config(const struct options *o, const struct installation *i);
struct projection_config ledger_projection_config(const struct options *o,
                                                  const struct installation *i);

#endif
