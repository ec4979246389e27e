/* script_model_claim.c - a claim stands for a day from the beginning of its call. */
#include "tests/billing/script_model_claim.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/mem.h"

static const struct model_claim *standing(const struct model *m, unsigned account, unsigned key,
                                          int64_t now_us)
{
    const struct model_claim *c = &m->claims[account][key];

    return now_us / 1000 < c->gone_ms ? c : NULL;
}

/* The process that had it is gone, its directory was taken up since or its writer retired, and all that was left there has
 * been applied. */
static bool is_orphan(const struct model *m, const struct model_claim *c, unsigned run)
{
    if (c->is_answered || m->fences[c->writer] == OVER)
        return !c->is_answered;
    return c->turn && m->live[c->writer].ms && m->live[c->writer].run == run &&
           c->turn < m->live[c->writer].turn;
}

static const char *name_bars(const struct model *m, const struct admit_ask *ask, unsigned idem,
                             int64_t now_us, unsigned *whose)
{
    const struct model_claim *c = standing(m, ask->account, idem, now_us);
    int64_t now = ask->now_nanos ? ask->now_nanos : now_us * 1000;

    if (!c || c->request == ask->request || (int128)now >= (int128)c->ends_ms * 1000000 ||
        is_orphan(m, c, ask->run))
        return NULL;
    *whose = c->request;
    if (c->body != ask->body)
        return "OTHER_BODY";
    return c->is_answered ? "ANSWERED" : "CLAIMED";
}

const char *claim_bars(const struct model *m, const struct admit_ask *ask, int64_t now_us,
                       struct barred_by *by)
{
    const char *word = NULL;

    by->name = 0;
    if (ask->has_idem)
        word = name_bars(m, ask, ask->idem, now_us, &by->request);
    if (!word && ask->has_idem && ask->has_other_name) {
        by->name = 1;
        word = name_bars(m, ask, OTHER_NAME(ask->idem), now_us, &by->request);
    }
    return word;
}

void claim_place(struct model *m, const struct admit_ask *ask, int64_t now_us)
{
    if (ask->has_idem && ask->has_other_name)
        m->claims[ask->account][OTHER_NAME(ask->idem)].gone_ms = 0;
    if (ask->has_idem)
        m->claims[ask->account][ask->idem] =
            (struct model_claim){.request = ask->request,
                                 .body = ask->body,
                                 .ends_ms = ask->ends_ms,
                                 .writer = ask->writer,
                                 .turn = ask->turn,
                                 .gone_ms = now_us / 1000 + DAY_MS};
}

/* A failed call frees only its own open claim. An answered one has the key before any that is open; of two that were
 * answered the one that began later stays. */
bool claim_end(struct model *m, unsigned account, unsigned key, struct model_claim of,
               int64_t now_us)
{
    struct model_claim *c = &m->claims[account][key];
    bool stands = standing(m, account, key, now_us) != NULL;
    bool is_mine = stands && c->request == of.request;
    bool is_its_own = of.is_answered && of.ends_ms > now_us / 1000;
    bool is_later = !stands || is_mine || !c->is_answered || of.ends_ms > c->ends_ms ||
                    (of.ends_ms == c->ends_ms && of.request > c->request);

    of.gone_ms = of.ends_ms;
    of.turn = 0;
    if (!of.is_answered && is_mine && !c->is_answered)
        c->gone_ms = 0;
    if (is_its_own && is_later)
        *c = of;
    return is_its_own && is_later;
}

/* Half of what may be stored in a day at once; a byte runs off in its share of the day. */
static void store(struct model *m, const struct answer_ask *ask, int64_t now_ms)
{
    int64_t *until = &m->stored_until_ms[ask->account], bytes = (int64_t)strlen(STORED);
    int64_t ahead = *until > now_ms ? *until - now_ms : 0;

    ahead += (2 * bytes * DAY_MS + STORED_MOST - 1) / STORED_MOST;
    if (ahead > DAY_MS)
        return;
    *until = now_ms + ahead;
    m->answer_gone_ms[ask->request] = ask->ends_ms;
}

/* By that name another call had the key when this one began. */
static bool is_taken(const struct model *m, const struct answer_ask *ask, unsigned idem,
                     int64_t now_us, unsigned *whose)
{
    const struct model_claim *c = standing(m, ask->account, idem, now_us);

    if (!c || c->request == ask->request || ask->ends_ms - DAY_MS >= c->ends_ms)
        return false;
    *whose = c->request;
    return true;
}

static const char *open_again(struct model *m, const struct answer_ask *ask, int64_t now_us,
                              unsigned *whose)
{
    const struct model_claim *c = standing(m, ask->account, ask->idem, now_us);

    if (is_taken(m, ask, ask->idem, now_us, whose) ||
        (ask->has_other_name && is_taken(m, ask, OTHER_NAME(ask->idem), now_us, whose)))
        return "TAKEN";
    if (c && c->request == ask->request)
        return "OK";
    if (model_is_over(m, ask->request, now_us))
        return "OVER";
    if (ask->ends_ms > now_us / 1000)
        m->claims[ask->account][ask->idem] = (struct model_claim){.request = ask->request,
                                                                  .body = ask->body,
                                                                  .ends_ms = ask->ends_ms,
                                                                  .writer = ask->writer,
                                                                  .turn = ask->turn,
                                                                  .gone_ms = ask->ends_ms};
    return "OK";
}

char *model_answer(struct model *m, const struct answer_ask *ask, int64_t now_us)
{
    struct model_claim of = {.is_answered = ask->verb == ANSWERED,
                             .request = ask->request,
                             .body = ask->body,
                             .ends_ms = ask->ends_ms};
    unsigned whose = 0;
    const char *word = "OK";

    if (ask->is_stranger && m->is_installed)
        return xstrdup("INSTALLATION");
    if (m->parked[0])
        return xstrdup("PARKED");
    if (ask->verb == OPEN)
        word = open_again(m, ask, now_us, &whose);
    else if (claim_end(m, ask->account, ask->idem, of, now_us) && ask->is_stored)
        store(m, ask, now_us / 1000);
    return strcmp(word, "TAKEN") == 0 ? xasprintf("TAKEN " REQUEST_FMT, whose) : xstrdup(word);
}

void claim_lines(const struct model *m, int64_t now_us, struct buf *out)
{
    char key[PARTITION_KEY], rest[96];

    for (unsigned i = 0; i < ACCOUNTS * IDEMS; i++) {
        const struct model_claim *c = standing(m, i / IDEMS, i % IDEMS, now_us);
        if (!c)
            continue;
        snprintf(rest, sizeof rest, ACCOUNT_FMT ":" DIGEST_FMT, i / IDEMS, i % IDEMS);
        buf_add_span(out, partition_key(m->partition, "idem", rest, key));
        buf_printf(out, " = %s " REQUEST_FMT " " DIGEST_FMT " %" PRId64 " %s %u\n",
                   c->is_answered ? "answered" : "open", c->request, c->body, c->ends_ms,
                   c->is_answered ? "-" : writer_texts[c->writer], c->turn);
    }
    for (unsigned r = 0; r < REQUESTS; r++) {
        if (now_us / 1000 >= m->answer_gone_ms[r])
            continue;
        snprintf(rest, sizeof rest, REQUEST_FMT, r);
        buf_add_span(out, partition_key(m->partition, "answer", rest, key));
        buf_add_string(out, " = " STORED "\n");
    }
    for (unsigned a = 0; a < ACCOUNTS; a++) {
        if (now_us / 1000 >= m->stored_until_ms[a])
            continue;
        snprintf(rest, sizeof rest, ACCOUNT_FMT, a);
        buf_add_span(out, partition_key(m->partition, "stored", rest, key));
        buf_printf(out, " = %" PRId64 "\n", m->stored_until_ms[a]);
    }
}
