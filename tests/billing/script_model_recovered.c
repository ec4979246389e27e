/* script_model_recovered.c - in the model, who has to be back before a partition admits, who is retired, and what a rebuild leaves
 * of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/billing/script_model.h"

#define WAIT_MS   10000
#define LIVE_MS   30000
#define FORGET_MS 86400000

static void say(struct model *m, const struct recovered_ask *ask, bool is_behind, int64_t now)
{
    bool is_back = !is_behind && !ask->is_coming;

    m->live[ask->writer].run = is_back ? ask->run : 0;
    m->live[ask->writer].token = is_back ? 0 : ask->token;
    m->live[ask->writer].ms = now;
    m->live[ask->writer].turn = ask->turn;
}

/* A partition that knows nothing, though there was something to know, cannot say who is live. */
static void begin_to_wait(struct model *m, const struct recovered_ask *ask, int64_t now)
{
    m->pending_blank = m->pending_blank || (!m->is_installed && !ask->is_new);
    m->is_installed = true;
    m->run = 0;
    m->pending_run = ask->run;
    m->pending_since = now;
    m->pending_last = 0;
    for (unsigned w = 0; w < WRITERS; w++)
        if (m->live[w].ms > m->pending_last)
            m->pending_last = m->live[w].ms;
}

/* Live are those whose word is not much older than the last word before the wait; after a day a word is forgotten. */
static bool all_are_back(struct model *m, unsigned run, int64_t now)
{
    bool back = true;

    for (unsigned w = 0; w < WRITERS; w++) {
        if (m->live[w].ms && m->live[w].run != run && m->live[w].ms > m->pending_last - LIVE_MS)
            back = false;
        if (m->live[w].ms < now - FORGET_MS)
            m->live[w].ms = m->live[w].turn = 0;
    }
    return back;
}

char *model_recovered(struct model *m, const struct recovered_ask *ask, int64_t now_us)
{
    uint64_t cursor = m->cursors[ask->writer].n;
    bool is_behind = cursor < ask->n;
    bool was_coming = m->live[ask->writer].ms && !m->live[ask->writer].run;
    bool was_back = m->live[ask->writer].ms && m->live[ask->writer].run == ask->run;
    int64_t now = now_us / 1000;

    if (ask->is_stranger && m->is_installed)
        return xstrdup("INSTALLATION");
    if (m->fences[ask->writer])
        return xstrdup("RETIRED");
    if (m->parked[0]) {
        m->live[ask->writer].run = m->live[ask->writer].token = 0;
        m->live[ask->writer].ms = now;
        return xasprintf("PARKED %s", m->parked);
    }
    if (!ask->is_coming && !was_back && (!was_coming || m->live[ask->writer].token != ask->token))
        return xstrdup("AGAIN");
    bool closes = !was_coming && (is_behind || (ask->is_again && !was_back));
    bool admits = m->run == ask->run && !closes;
    if (!admits && m->pending_run != ask->run)
        begin_to_wait(m, ask, now);
    say(m, ask, is_behind, now);
    bool may = !admits && !m->is_rebuilding;
    bool back = may && all_are_back(m, ask->run, now) && !m->pending_blank;
    if (may && (back || now - m->pending_since >= WAIT_MS)) {
        m->run = ask->run;
        m->pending_run = 0;
        m->pending_blank = m->blank_is_emptied = false;
        admits = true;
    }
    if (is_behind)
        return xasprintf("BEHIND %" PRIu64, cursor);
    return xstrdup(admits && !ask->is_coming ? "OK" : "WAIT");
}

char *model_retired(struct model *m, const struct retired_ask *ask)
{
    if (ask->is_stranger && m->is_installed)
        return xstrdup("INSTALLATION");
    if (!ask->is_over) {
        if (!m->fences[ask->writer])
            m->fences[ask->writer] = FENCED;
        m->live[ask->writer].ms = m->live[ask->writer].turn = 0;
        return xstrdup("OK");
    }
    if (m->parked[0])
        return xstrdup("PARKED");
    if (m->cursors[ask->writer].n < ask->n)
        return xstrdup("BEHIND");
    m->fences[ask->writer] = OVER;
    return xstrdup("OK");
}

/* ---- rebuild ---- */

/* Words of writers stay, but all of them have to come back. */
static void empty(struct model *m)
{
    for (unsigned w = 0; w < WRITERS; w++)
        m->live[w].run = m->live[w].token = 0;
    m->parked[0] = m->applying[0] = '\0';
    m->run = m->pending_run = 0;
    m->is_rebuilding = true;
    m->pending_blank = m->blank_is_emptied = m->pending_blank || !m->is_installed;
    m->is_installed = true;
}

/* All but state, the words of writers, and how far they were booked; and the run, under which all of it would be there. */
static void delete_all(struct model *m)
{
    struct model rest;

    model_init(&rest, m->partition);
    rest.is_installed = m->is_installed;
    rest.is_rebuilding = m->is_rebuilding;
    memcpy(rest.parked, m->parked, sizeof rest.parked);
    memcpy(rest.applying, m->applying, sizeof rest.applying);
    memcpy(rest.live, m->live, sizeof rest.live);
    memcpy(rest.fences, m->fences, sizeof rest.fences);
    for (unsigned w = 0; w < WRITERS; w++)
        rest.before[w] = m->before[w].n < m->cursors[w].n ? m->cursors[w] : m->before[w];
    rest.pending_run = m->pending_run;
    rest.pending_since = m->pending_since;
    rest.pending_last = m->pending_last;
    rest.pending_blank = m->pending_blank;
    rest.blank_is_emptied = m->blank_is_emptied;
    *m = rest;
}

char *model_rebuild(struct model *m, const struct rebuild_ask *ask)
{
    bool is_parked = m->parked[0];

    if (ask->is_stranger && m->is_installed)
        return xstrdup("INSTALLATION");
    if (ask->verb == PARK   ? is_parked
        : ask->verb == DONE ? is_parked || !m->is_rebuilding
                            : !is_parked)
        return xstrdup("NOTHING");
    switch (ask->verb) {
    case PARK:
        m->pending_blank = m->pending_blank || !m->is_installed;
        m->is_installed = true;
        snprintf(m->parked, sizeof m->parked, "%s", REBUILD_REASON);
        break;
    case DELETE:
        delete_all(m);
        break;
    case EMPTY:
        empty(m);
        break;
    case DONE:
        for (unsigned w = 0; w < WRITERS; w++)
            if (m->before[w].n <= m->cursors[w].n)
                m->before[w] = (struct record_cursor){.n = 0};
        m->is_rebuilding = false;
        break;
    }
    return xstrdup("OK");
}
