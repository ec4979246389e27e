/* console_state.h - what the console process has: made by console.c, used by its routes. */
#ifndef TOLLGATE_GATEWAY_CONSOLE_STATE_H
#define TOLLGATE_GATEWAY_CONSOLE_STATE_H

#include "gateway/board.h"
#include "gateway/history.h"
#include "gateway/ledger.h"

struct console {
    const struct options *options;
    const struct installation *installation;
    struct loop *loop;
    struct ledger ledger; /* its journal holds the changes that are not calls */
    struct adoption *adoption;
    struct archive_index *archived; /* what Redis may forget, and where old calls are found */
    struct past_reader *past_reader;
    struct history history; /* by that reader */
    struct rebuild *rebuild;
    struct notifier *notifier;  /* null: for one command */
    struct desk_batch *batches; /* changes that wait to be shipped */
    struct turn *turns;         /* changes that wait for those before them, or are being decided */
    struct grant_expiry *expiry; /* null: for one command */
    struct adopting *adopting;  /* one at a time: two would each look before the other has booked */
    bool is_applying; /* a catalogue: one at a time, since each is compared with what Redis has */
    int64_t revision; /* the last one given out */
    int64_t last_request_ms;   /* monotonic */
    const struct board *board; /* null: for one command */
    int64_t archived_at;       /* when archiving last succeeded; 0: not yet */
    bool archive_fails;
    int64_t unarchived_since; /* of the oldest record that the archive lacks, as far as is known; 0: none */
};

/* A revision higher than any given before, by whatever process: milliseconds of the writer's time. */
int64_t console_revision(struct console *c);

#endif
