/* test_claim_story.c - clients that repeat their calls, and writers that die, are taken up, ship late and are heard of late, all
 * at random: of all calls under one key at most one is ever answered, and in the end no key is left taken by nobody.
 * SEED repeats a run. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "tests/base/run.h"
#include "tests/billing/claim_fixture.h"

#define WRITERS   3
#define KEYS      4   /* asked for at a time */
#define KEY_STEPS 100 /* for so long, since most are answered then */
#define CALLS_MAX 4000
#define STEPS     4000
#define KEYS_ALL  (KEYS * STEPS / KEY_STEPS)
#define ROUNDS    10
#define RECENT    20

enum fate {
    RUNNING,  /* admitted */
    ANSWERED, /* its END is durable */
    FAILED,   /* likewise */
    VANISHED, /* its process died before its BEGIN was written: no END will come */
};

struct told {
    char request[16], key_name[16], turn[8];
    unsigned writer, key;
    enum fate fate;
    bool is_told; /* the end of its claim was, by the worker */
};

struct writer {
    const char *id;
    unsigned turn;
    unsigned ends[CALLS_MAX]; /* calls, in the order of their ENDs */
    size_t durable, applied;
    size_t left; /* durable when it was last taken up */
};

struct story {
    uint64_t seed, chance;
    struct told calls[CALLS_MAX];
    size_t count;
    unsigned repeated;
    struct writer writers[WRITERS];
};

/* A small generator of our own, so that a printed seed repeats a run. */
static unsigned pick(struct story *s, unsigned n)
{
    s->chance = s->chance * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(s->chance >> 33) % n;
}

/* All begin in another millisecond, as they do. */
static struct call call_of(struct story *s, const struct told *t)
{
    return (struct call){.request = t->request,
                         .body = BODY,
                         .amount = "0",
                         .writer = s->writers[t->writer].id,
                         .turn = t->turn,
                         .late_ms = 1 + (t - s->calls),
                         .key = t->key_name};
}

/* The answered call of a key, or null; fails the test when there are two. */
static const struct told *answered(const struct story *s, unsigned key)
{
    const struct told *found = NULL;

    for (const struct told *t = s->calls; t < s->calls + s->count; t++) {
        if (t->key != key || t->fate != ANSWERED)
            continue;
        ck_assert_msg(!found, "seed %" PRIu64 ": %s and %s were both answered", s->seed,
                      found ? found->request : "", t->request);
        found = t;
    }
    return found;
}

static void ask(struct story *s, unsigned writer, unsigned key)
{
    struct told *t = &s->calls[s->count];
    const struct told *before = answered(s, key);

    *t = (struct told){.writer = writer, .key = key};
    snprintf(t->request, sizeof t->request, "req_%zu", s->count);
    snprintf(t->key_name, sizeof t->key_name, "k%u", key);
    snprintf(t->turn, sizeof t->turn, "%u", s->writers[writer].turn);
    AUTO_STRING answer = admit(call_of(s, t));
    if (strncmp(answer, "OK ", 3) == 0) {
        ck_assert_msg(!before, "seed %" PRIu64 ": %s was admitted after %s was answered", s->seed,
                      t->request, before ? before->request : "");
        s->count++;
    } else if (strncmp(answer, "ANSWERED ", 9) == 0) {
        AUTO_STRING expected = xasprintf("ANSWERED %s 0", before ? before->request : "");
        ck_assert_msg(before && strcmp(answer, expected) == 0,
                      "seed %" PRIu64 ": %s, which was not", s->seed, answer);
        s->repeated++;
    } else {
        ck_assert_msg(strncmp(answer, "CLAIMED ", 8) == 0 || strcmp(answer, "RECOVERING") == 0,
                      "%s", answer);
    }
}

static void write_end(struct story *s, struct told *t, enum fate fate)
{
    struct writer *w = &s->writers[t->writer];

    t->fate = fate;
    w->ends[w->durable++] = (unsigned)(t - s->calls);
}

static void tell_end(struct story *s, struct told *t)
{
    free(tell(t->fate == ANSWERED ? "answered" : "failed", call_of(s, t), ""));
    t->is_told = true;
}

/* A worker's calls end, or their claims are put again. */
static void work(struct story *s, struct told *t)
{
    if (t->fate == RUNNING && pick(s, 3) == 0) {
        free(tell("open", call_of(s, t), ""));
    } else if (t->fate == RUNNING) {
        write_end(s, t, pick(s, 2) ? ANSWERED : FAILED);
        if (pick(s, 4))
            tell_end(s, t);
    } else if (t->fate != VANISHED && !t->is_told &&
               number_of(t->turn) == (int64_t)s->writers[t->writer].turn) {
        tell_end(s, t);
    }
}

static void ship(struct writer *w, struct story *s)
{
    if (w->applied == w->durable)
        return;
    const struct told *t = &s->calls[w->ends[w->applied]];
    AUTO_STRING n = xasprintf("%zu", w->applied + 1);
    AUTO_STRING answer =
        apply(call_of(s, t), n, t->fate == ANSWERED ? "answered" : "failed", "86400000");
    ck_assert_msg(strncmp(answer, "OK ", 3) == 0, "%s", answer);
    w->applied++;
}

/* Sometimes so late that the partition no longer waits for who is behind. */
static void say(struct story *s, struct writer *w)
{
    AUTO_STRING n = xasprintf("%zu", w->left > w->applied ? w->left : w->applied);
    AUTO_STRING turn = xasprintf("%u", w->turn);

    if (pick(s, 3) == 0)
        set("HSET tg:{a17}:state pending_since 1");
    free(report(w->id, n, turn));
}

/* Its process dies, and another takes the directory up: open calls get their ENDs, but for those that were never begun. What the
 * dead one had sent may still arrive. */
static void die(struct story *s, unsigned writer)
{
    struct writer *w = &s->writers[writer];

    w->turn++;
    for (struct told *t = s->calls; t < s->calls + s->count; t++) {
        if (t->writer != writer || t->fate != RUNNING)
            continue;
        if (pick(s, 3))
            write_end(s, t, FAILED);
        else
            t->fate = VANISHED;
        if (pick(s, 3) == 0)
            free(tell("open", call_of(s, t), ""));
    }
    w->left = w->durable;
}

static void step(struct story *s, unsigned i)
{
    unsigned writer = pick(s, WRITERS);

    switch (pick(s, 40)) {
    case 0:
        die(s, writer);
        return;
    case 1:
    case 2:
    case 3:
    case 4:
        say(s, &s->writers[writer]);
        return;
    default:
        break;
    }
    switch (pick(s, 3)) {
    case 0:
        ship(&s->writers[writer], s);
        return;
    case 1:
        ask(s, writer, i / KEY_STEPS * KEYS + pick(s, KEYS));
        return;
    default:
        if (s->count)
            work(
                s,
                &s->calls[s->count - 1 - pick(s, s->count < RECENT ? (unsigned)s->count : RECENT)]);
    }
}

/* Everything heals: each key was answered, or can be had. */
static void heal(struct story *s)
{
    for (unsigned i = 0; i < WRITERS; i++)
        die(s, i);
    for (unsigned i = 0; i < WRITERS; i++) {
        while (s->writers[i].applied < s->writers[i].durable)
            ship(&s->writers[i], s);
        say(s, &s->writers[i]);
    }
    for (unsigned key = 0; key < KEYS_ALL; key++) {
        size_t before = s->count;
        const struct told *was = answered(s, key);

        ask(s, 0, key);
        ck_assert_msg(was || s->count == before + 1,
                      "seed %" PRIu64 ": key %u stays taken by nobody", s->seed, key);
    }
}

START_TEST(whoever_dies_a_key_is_answered_once_and_never_stays_taken_by_nobody)
{
    static struct story s;
    unsigned admitted = 0, repeated = 0;
    uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : rand_u64() >> 16;

    for (unsigned round = 0; round < ROUNDS; round++, seed++) {
        s = (struct story){.seed = seed, .chance = seed};
        for (unsigned i = 0; i < WRITERS; i++)
            s.writers[i] =
                (struct writer){.id = (const char *const[]){"w-a", "w-b", "w-c"}[i], .turn = 1};
        open_partition();
        for (unsigned i = 0; i < STEPS; i++)
            step(&s, i);
        heal(&s);
        admitted += (unsigned)s.count;
        repeated += s.repeated;
    }
    ck_assert_uint_gt(admitted, ROUNDS * KEYS_ALL);
    ck_assert_uint_gt(repeated, ROUNDS * KEYS_ALL);
}
END_TEST

static void start_redis(void)
{
    fixture_start(&redis, false);
}

static void stop_redis(void)
{
    fixture_stop(&redis);
}

int main(void)
{
    TCase *t = tcase_create("claim_story");

    tcase_set_timeout(t, 300);
    tcase_add_unchecked_fixture(t, start_redis, stop_redis);
    tcase_add_test(t, whoever_dies_a_key_is_answered_once_and_never_stays_taken_by_nobody);
    return run_tests(t, "claim_story");
}
