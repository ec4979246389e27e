/* script_story.c - tells a list of operations. Whatever an operation refers to is taken as it is when its turn comes ("the
 * next three records of this writer"), so that the list means something also with operations left out. */
#include "tests/billing/script_story.h"

#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "tests/billing/script_model_grants.h"

#define LINES_MAX    (4 * 1024 * 1024)
#define COMPARE_EACH 4

/* The projection asks for the time too, when it says how long a claim still stands. */
static int64_t story_now_nanos;
int64_t __wrap_clock_now(void);

struct telling {
    struct world *w;
    const struct story *story;
    int64_t now_us;
    struct model models[PLACES], kept[PLACES];
    unsigned runs[PLACES]; /* of the Redis that has the partition */
    struct fact *journal[WRITERS][RECORDS_MAX];
    size_t written[WRITERS];
    unsigned turns[WRITERS];                        /* how often its directory was taken up */
    unsigned tokens[WRITERS][PLACES];               /* what it came under last */
    struct fact *due[WRITERS][PLACES][RECORDS_MAX]; /* by their numbers */
    uint64_t heads[WRITERS][PLACES];
    char *wrong;
};

int64_t __wrap_clock_now(void)
{
    return story_now_nanos;
}

static void write_record(struct telling *t, const struct op *op)
{
    struct fact *f = xcalloc(1, sizeof *f);

    *f = op->fact;
    f->started_ms = t->now_us / 1000 - op->age_ms;
    ck_assert_uint_lt(t->written[f->writer], RECORDS_MAX);
    t->journal[f->writer][t->written[f->writer]++] = f;
    for (int side = 0; side < SIDES; side++) {
        if (!fact_is_on(f, (enum partition_side)side))
            continue;
        unsigned place = fact_place(f, (enum partition_side)side);
        f->n[side] = ++t->heads[f->writer][place];
        t->due[f->writer][place][f->n[side] - 1] = f;
    }
    fact_compose(f);
}

/* ---- comparing ---- */

PRINTF_LIKE(2, 3)
static void note(struct telling *t, const char *format, ...)
{
    char text[4096];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (!t->wrong)
        t->wrong = xstrdup(text);
}

/* Takes both. */
static void compare(struct telling *t, char *expected, char *found)
{
    AUTO_STRING mine = expected;
    AUTO_STRING theirs = found;

    if (strcmp(mine, theirs) != 0)
        note(t, "the answer is\n  %s\nand should be\n  %s", theirs, mine);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t sorted_lines(struct buf *text, char ***out)
{
    char **lines = NULL, *rest = NULL;
    size_t n = 0;

    buf_add_string(text, "");
    for (char *at = strtok_r(text->data, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest)) {
        lines = xrealloc_array(lines, n + 1, sizeof *lines);
        lines[n++] = at;
    }
    if (n)
        qsort(lines, n, sizeof *lines, by_text);
    *out = lines;
    return n;
}

/* Ends both texts. */
static void compare_lines(struct telling *t, unsigned place, const char *what, struct buf *expected,
                          struct buf *found)
{
    char **mine, **theirs, name[PARTITION_NAME];
    size_t n = sorted_lines(expected, &mine), m = sorted_lines(found, &theirs), i = 0;

    while (i < n && i < m && strcmp(mine[i], theirs[i]) == 0)
        i++;
    if (i < n || i < m)
        note(t, "%s (%s): found\n  %s\nwhere it should be\n  %s",
             partition_name(places[place], name), what, i < m ? theirs[i] : "nothing",
             i < n ? mine[i] : "nothing");
    free(mine);
    free(theirs);
}

static void compare_place(struct telling *t, unsigned place)
{
    AUTO_CLEAR(buf) expected = {.max = LINES_MAX};
    AUTO_CLEAR(buf) found = {.max = LINES_MAX};

    if (t->wrong)
        return;
    model_render(&t->models[place], t->now_us, &expected);
    world_lines(t->w, places[place], &found);
    compare_lines(t, place, "what Redis keeps", &expected, &found);
}

/* ---- operations ---- */

static void apply(struct telling *t, const struct op *op, const struct apply_ask *ask)
{
    if (ask->count)
        compare(t, model_apply(&t->models[op->place], ask, t->now_us),
                world_apply(t->w, places[op->place], ask));
}

/* Which installation an empty partition is of is said by the first who comes, so a stranger never is the first. */
static bool is_stranger(const struct telling *t, const struct op *op)
{
    return op->is_stranger && t->models[op->place].is_installed;
}

static void ship(struct telling *t, const struct op *op)
{
    int64_t from = (int64_t)t->models[op->place].cursors[op->writer].n + op->shift;
    struct apply_ask ask = {
        .writer = op->writer, .is_archived = op->is_archived, .is_stranger = is_stranger(t, op)};

    for (int64_t i = from < 0 ? 0 : from; ask.count < op->count; i++) {
        if (i >= (int64_t)t->heads[op->writer][op->place])
            break;
        ask.facts[ask.count++] = t->due[op->writer][op->place][i];
    }
    apply(t, op, &ask);
}

static void forge(struct telling *t, const struct op *op)
{
    uint64_t n = t->models[op->place].cursors[op->writer].n;
    struct apply_ask ask = {.writer = op->writer, .count = 1};

    if (!n)
        return;
    struct fact other = *t->due[op->writer][op->place][n - 1];
    other.crc ^= 1;
    ask.facts[0] = &other;
    apply(t, op, &ask);
}

static unsigned run_of(const struct telling *t, const struct op *op)
{
    return t->runs[op->place] - (op->is_under_old_run ? 1 : 0);
}

static void admit(struct telling *t, const struct op *op)
{
    struct admit_ask ask = {.account = account_of(op->request),
                            .key = op->key,
                            .request = op->request,
                            .writer = op->writer,
                            .currency = op->currency,
                            .run = run_of(t, op),
                            .amount = op->amount,
                            .tokens = op->tokens,
                            .has_idem = op->has_idem,
                            .has_other_name = op->has_other_name,
                            .idem = op->idem,
                            .body = op->body,
                            .turn = t->turns[op->writer],
                            .ends_ms = t->now_us / 1000 - op->age_ms + DAY_MS,
                            .now_nanos = op->now_nanos,
                            .is_stranger = op->is_stranger};
    struct fact key, account;
    bool is_there = model_key(&t->models[op->place], op->key, &key);
    bool is_open = model_account(&t->models[op->place], ask.account, &account);

    ask.knows_scopes = is_there && key.has_scopes;
    ask.knows_models = (is_there && key.has_models) != op->is_outdated;
    ask.zone = ((is_open ? account.zone : 0) + op->zone) % ZONES;
    zone_day(ask.zone, t->now_us / 1000 - op->began_ms_ago, ask.day);
    compare(t, model_admit(&t->models[op->place], &ask, t->now_us),
            world_admit(t->w, places[op->place], &ask));
}

static void hold(struct telling *t, const struct op *op)
{
    struct hold_ask ask = {.account = account_of(op->request),
                           .key = op->key,
                           .writer = op->writer,
                           .verb = op->verb,
                           .count = op->count,
                           .is_stranger = is_stranger(t, op)};

    zone_day(op->zone, t->now_us / 1000 - op->began_ms_ago, ask.day);
    for (unsigned i = 0; i < op->count; i++) {
        ask.entries[i].request = (op->request + i * ACCOUNTS) % REQUESTS;
        ask.entries[i].amount = op->amount;
    }
    compare(t, model_hold(&t->models[op->place], &ask, t->now_us),
            world_hold(t->w, places[op->place], &ask));
}

static void recovered(struct telling *t, const struct op *op)
{
    unsigned *token = &t->tokens[op->writer][op->place];

    *token += op->is_coming;
    struct recovered_ask ask = {.writer = op->writer,
                                .token = *token - op->is_stale,
                                .is_coming = op->is_coming,
                                .is_again = op->is_again,
                                .run = run_of(t, op),
                                .n = t->heads[op->writer][op->place] + (uint64_t)op->shift,
                                .turn = t->turns[op->writer],
                                .is_new = !op->is_old,
                                .is_stranger = is_stranger(t, op)};

    compare(t, model_recovered(&t->models[op->place], &ask, t->now_us),
            world_recovered(t->w, places[op->place], &ask));
}

static void retire(struct telling *t, const struct op *op)
{
    struct retired_ask ask = {.writer = WRITERS - 1,
                              .is_over = op->is_over,
                              .n =
                                  t->models[op->place].cursors[WRITERS - 1].n + (uint64_t)op->shift,
                              .is_stranger = is_stranger(t, op)};

    compare(t, model_retired(&t->models[op->place], &ask),
            world_retired(t->w, places[op->place], &ask));
}

static void answer(struct telling *t, const struct op *op)
{
    struct answer_ask ask = {.account = account_of(op->request),
                             .request = op->request,
                             .writer = op->writer,
                             .idem = op->idem,
                             .body = op->body,
                             .turn = t->turns[op->writer],
                             .verb = op->answer,
                             .has_other_name = op->has_other_name,
                             .ends_ms = t->now_us / 1000 - op->age_ms + DAY_MS,
                             .is_stored = op->is_stored,
                             .is_stranger = is_stranger(t, op)};

    compare(t, model_answer(&t->models[op->place], &ask, t->now_us),
            world_answer(t->w, places[op->place], &ask, t->now_us));
}

static void take_up(struct telling *t, const struct op *op)
{
    t->turns[op->writer]++;
}

static void rebuild(struct telling *t, const struct op *op)
{
    struct rebuild_ask ask = {op->rebuild, is_stranger(t, op)};

    compare(t, model_rebuild(&t->models[op->place], &ask),
            world_rebuild(t->w, places[op->place], &ask));
}

static void sweep(struct telling *t, const struct op *op)
{
    struct sweep_ask ask = {account_of(op->request), run_of(t, op), op->is_stranger};

    compare(t, model_sweep(&t->models[op->place], &ask, t->now_us),
            world_sweep(t->w, places[op->place], &ask));
}

/* What was decided is written, and shipped when its turn comes. */
static void grants(struct telling *t, const struct op *op)
{
    struct grants_ask ask = {.account = account_of(op->request),
                             .op = (unsigned)op->count % OPS,
                             .writer = op->writer,
                             .run = run_of(t, op),
                             .now_nanos = op->now_nanos,
                             .is_look = op->is_look,
                             .is_stranger = op->is_stranger};
    struct op record = {.fact = {.kind = RECORD_EXPIRY,
                                 .writer = op->writer,
                                 .subject = ask.account,
                                 .op = ask.op,
                                 .at = op->now_nanos}};
    char *answer = model_grants(&t->models[op->place], &ask, t->now_us, &record.fact);
    bool is_decided = !ask.is_look && strncmp(answer, "OK", 2) == 0;

    compare(t, answer, world_grants(t->w, places[op->place], &ask));
    if (is_decided)
        write_record(t, &record);
}

static void set_clock(struct telling *t, int64_t now_us)
{
    t->now_us = now_us;
    story_now_nanos = now_us * 1000;
    world_set_clock(t->w, now_us);
}

static void tick(struct telling *t, const struct op *op)
{
    set_clock(t, t->now_us + op->ms * 1000);
}

static void keep(struct telling *t, const struct op *op)
{
    t->kept[op->place] = t->models[op->place];
    world_keep(t->w, places[op->place]);
}

static void lose(struct telling *t, const struct op *op)
{
    t->models[op->place] = t->kept[op->place];
    t->runs[op->place]++;
    world_bring_back(t->w, places[op->place]);
}

static void lose_all(struct telling *t, const struct op *op)
{
    model_init(&t->models[op->place], places[op->place]);
    t->runs[op->place]++;
    world_drop(t->w, places[op->place]);
}

static void die(struct telling *t, const struct op *op)
{
    struct model *m = &t->models[op->place];

    snprintf(m->applying, sizeof m->applying, "%s %" PRIu64, writer_texts[op->writer],
             m->cursors[op->writer].n + 1);
    world_die_midway(t->w, places[op->place], m->applying);
}

/* Everything that the journals have goes in, `count` records of one writer after another's; then all say so. One that was
 * forgotten comes when the others are back. */
static void back(struct telling *t, const struct op *op)
{
    struct op one = {.place = op->place, .count = op->count, .is_old = op->is_old};

    one.is_coming = true;
    for (one.writer = 0; one.writer < WRITERS; one.writer++)
        if (!op->is_again || one.writer != op->writer)
            recovered(t, &one);
    one.is_coming = false;
    for (bool any = true; any && !t->models[op->place].parked[0] && !t->wrong;) {
        any = false;
        for (unsigned w = 0; w < WRITERS; w++) {
            one.writer = (w + op->writer) % WRITERS;
            one.is_archived = t->models[op->place].fences[one.writer] != NOT_RETIRED;
            uint64_t before = t->models[op->place].cursors[one.writer].n;
            ship(t, &one);
            any = any || t->models[op->place].cursors[one.writer].n > before;
        }
    }
    for (unsigned i = 0; i < 2 * WRITERS; i++) {
        one.writer = i % WRITERS;
        one.is_again = op->is_again && one.writer == op->writer;
        one.is_coming = one.is_again && i < WRITERS;
        recovered(t, &one);
    }
}

static void tell_one(struct telling *t, const struct op *op)
{
    static void (*const tellers[OP_KINDS])(struct telling *, const struct op *) = {
        [OP_WRITE] = write_record, [OP_APPLY] = ship,        [OP_FORGE] = forge,
        [OP_ADMIT] = admit,        [OP_HOLD] = hold,         [OP_RECOVERED] = recovered,
        [OP_SWEEP] = sweep,        [OP_TICK] = tick,         [OP_KEEP] = keep,
        [OP_LOSE] = lose,          [OP_LOSE_ALL] = lose_all, [OP_DIE] = die,
        [OP_BACK] = back,          [OP_ANSWER] = answer,     [OP_TAKE_UP] = take_up,
        [OP_REBUILD] = rebuild,    [OP_RETIRE] = retire,     [OP_GRANTS] = grants,
    };

    tellers[op->kind](t, op);
}

/* ---- the whole story ---- */

/* Applies all records once more, to an empty partition: a few of one writer, a few of another, as `chance` has it. */
static void tell_otherwise(struct telling *t, unsigned place, uint64_t chance, struct buf *out)
{
    struct op op = {.place = place};
    size_t left;

    lose_all(t, &op);
    do {
        left = 0;
        for (unsigned i = 0; i < WRITERS; i++, chance = chance * 6364136223846793005U + 1) {
            op.writer = (unsigned)(chance >> 60) % WRITERS;
            op.count = 1 + (chance >> 40) % BATCH_MAX;
            ship(t, &op);
        }
        for (unsigned w = 0; w < WRITERS; w++)
            left += t->heads[w][place] - t->models[place].cursors[w].n;
    } while (left && !t->wrong);
    world_lines(t->w, places[place], out);
}

static void compare_orders(struct telling *t, unsigned place)
{
    AUTO_CLEAR(buf) one;
    AUTO_CLEAR(buf) other;

    buf_init(&one, LINES_MAX);
    buf_init(&other, LINES_MAX);
    tell_otherwise(t, place, 1, &one);
    tell_otherwise(t, place, 0x9e3779b97f4a7c15, &other);
    if (!t->wrong && t->story->commutes)
        compare_lines(t, place, "another order of the same records", &one, &other);
}

/* At the end all that was written goes in, whatever happened; a partition that was parked is rebuilt. */
static void end(struct telling *t)
{
    for (unsigned place = 0; place < PLACES && !t->wrong; place++) {
        struct op op = {.place = place, .count = BATCH_MAX};
        if (t->models[place].applying[0] || t->models[place].parked[0])
            lose_all(t, &op);
        back(t, &op);
        compare_place(t, place);
        compare_orders(t, place);
        compare_place(t, place);
    }
}

static struct telling *telling_new(struct world *world, const struct story *s)
{
    struct telling *t = xcalloc(1, sizeof *t);

    t->w = world;
    t->story = s;
    for (unsigned place = 0; place < PLACES; place++) {
        model_init(&t->models[place], places[place]);
        model_init(&t->kept[place], places[place]);
        t->runs[place] = 2; /* so that there is one before it */
    }
    for (unsigned w = 0; w < WRITERS; w++)
        t->turns[w] = 1;
    for (unsigned i = 0; i < WRITERS * PLACES; i++)
        t->tokens[i / PLACES][i % PLACES] = 2; /* so that there is one before it */
    world_empty(world);
    set_clock(t, STORY_START_US);
    return t;
}

static void telling_free(struct telling *t)
{
    for (unsigned w = 0; w < WRITERS; w++)
        for (size_t i = 0; i < t->written[w]; i++)
            free(t->journal[w][i]);
    free(t->wrong);
    free(t);
}
DEFINE_AUTO(telling)

char *story_tell(struct world *w, const struct story *s, size_t *told)
{
    AUTO(telling) t = telling_new(w, s);

    for (*told = 0; *told < s->count && !t->wrong; ++*told) {
        const struct op *op = &s->ops[*told];
        tell_one(t, op);
        if (!t->wrong && (s->is_careful || *told % COMPARE_EACH == 0))
            compare_place(t, op->place);
    }
    if (!t->wrong)
        end(t);
    return KEEP(t->wrong);
}

/* ---- shrinking ---- */

static bool fails(struct world *w, const struct story *s)
{
    size_t told;
    AUTO_STRING wrong = story_tell(w, s, &told);

    return wrong != NULL;
}

/* Leaves out count operations from `at` if the rest still fails. */
static bool leave_out(struct world *w, struct story *s, size_t at, size_t count)
{
    struct op *left = xcalloc(s->count, sizeof *left);
    struct story rest = {left, s->count - count, true, s->commutes};

    memcpy(left, s->ops, at * sizeof *left);
    memcpy(left + at, s->ops + at + count, (s->count - at - count) * sizeof *left);
    if (!fails(w, &rest)) {
        free(left);
        return false;
    }
    free(s->ops);
    *s = rest;
    return true;
}

void story_shrink(struct world *w, struct story *s)
{
    size_t told;
    AUTO_STRING wrong = story_tell(w, s, &told);

    if (!wrong)
        return;
    s->count = told;
    s->is_careful = true;
    for (size_t part = s->count / 2; part > 0;) {
        bool any = false;
        for (size_t at = 0; at + part <= s->count;) {
            bool out = leave_out(w, s, at, part);
            any = any || out;
            at += out ? 0 : part;
        }
        if (!any || part > 1)
            part /= 2;
    }
}

void story_clear(struct story *s)
{
    free(s->ops);
    s->ops = NULL;
    s->count = 0;
}
