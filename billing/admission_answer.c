/* admission_answer.c - the answer of admit.lua, whose header says what stands where. */
#include "billing/admission_answer.h"

#include "lib/base/clock.h"
#include "lib/base/text.h"

#define MODE_AT 5

static enum verdict verdict_of(const struct redis_reply *word);
static void fill_rates(struct admission_answer *answer, const struct redis_reply *reply);
static void fill_budget(struct admission_answer *answer, const struct redis_reply *reply);
static bool text_is(const struct redis_reply *reply, size_t i, const char *word);
static int64_t number_at(const struct redis_reply *reply, size_t i);

static const struct {
    const char *word;
    enum verdict verdict;
} verdicts[] = {
    {"OK", VERDICT_ADMITTED},
    {"CREDIT", VERDICT_CREDIT},
    {"CONCURRENCY", VERDICT_CONCURRENCY},
    {"BUDGET", VERDICT_BUDGET},
    {"RATE", VERDICT_RATE},
    {"TOO_LARGE", VERDICT_TOO_LARGE},
    {"KEY_UNKNOWN", VERDICT_KEY_UNKNOWN},
    {"KEY_REVOKED", VERDICT_KEY_REVOKED},
    {"KEY_EXPIRED", VERDICT_KEY_EXPIRED},
    {"KEY_CHANGED", VERDICT_KEY_CHANGED},
    {"ACCOUNT_UNKNOWN", VERDICT_ACCOUNT_UNKNOWN},
    {"CURRENCY", VERDICT_CURRENCY},
    {"CLAIMED", VERDICT_CLAIMED},
    {"ANSWERED", VERDICT_ANSWERED},
    {"OTHER_BODY", VERDICT_OTHER_BODY},
    {"RECOVERING", VERDICT_RECOVERING},
    {"INSTALLATION", VERDICT_WRONG_REDIS},
    {"PARKED", VERDICT_UNAVAILABLE},
    {"RETIRED", VERDICT_UNAVAILABLE}, /* who asks was, and is about to learn it */
    {"OVER", VERDICT_UNAVAILABLE},    /* a call with this request id has ended already */
};

/* What waiting may help against. */
static const int64_t retry_after_ms[] = {
    [VERDICT_CONCURRENCY] = 1000, [VERDICT_CLAIMED] = 1000,  [VERDICT_RECOVERING] = 1000,
    [VERDICT_UNAVAILABLE] = 1000, [VERDICT_WRONG_REDIS] = 0,
};

void admission_answer_read(const struct redis_reply *reply, struct admission_answer *answer)
{
    *answer = (struct admission_answer){.verdict = verdict_of(redis_reply_at(reply, 0))};
    if ((size_t)answer->verdict < ARRAY_LEN(retry_after_ms))
        answer->retry_after_ms = retry_after_ms[answer->verdict];
    if (redis_reply_count(reply) == 3) {
        if (!span_copy(redis_reply_text(redis_reply_at(reply, 1)), answer->earlier,
                       REQUEST_ID_TEXT))
            answer->earlier[0] = '\0';
        answer->earlier_name = (size_t)number_at(reply, 2);
    }
    if (redis_reply_count(reply) < 5)
        return;
    answer->left.nanos = number_at(reply, 1);
    answer->open = number_at(reply, 2);
    answer->open_max = number_at(reply, 3);
    if (!span_copy(redis_reply_text(redis_reply_at(reply, 4)), answer->left.currency,
                   CURRENCY_TEXT))
        answer->left.currency[0] = '\0';
    fill_rates(answer, reply);
    if (answer->verdict == VERDICT_BUDGET)
        fill_budget(answer, reply);
}

static enum verdict verdict_of(const struct redis_reply *word)
{
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
        if (span_equal(redis_reply_text(word), span_of(verdicts[i].word)))
            return verdicts[i].verdict;
    return VERDICT_UNAVAILABLE;
}

/* Behind what every answer has: three numbers of requests, three of tokens, and what is over. */
static void fill_rates(struct admission_answer *answer, const struct redis_reply *reply)
{
    size_t at = MODE_AT + 1;
    int64_t now = clock_now();

    if (redis_reply_count(reply) < at + 6)
        return;
    for (int i = 0; i < RATES; i++, at += 3)
        answer->rates[i] = (struct rate_left){number_at(reply, at), number_at(reply, at + 1),
                                              now + 1000 * number_at(reply, at + 2)};
    if (redis_reply_count(reply) < at + 5 || answer->verdict == VERDICT_BUDGET)
        return;
    answer->over.is_of_key = text_is(reply, at, "key");
    answer->over.what = text_is(reply, at + 1, "tokens") ? RATE_TOKENS : RATE_REQUESTS;
    answer->over.limit = number_at(reply, at + 2);
    answer->over.left = number_at(reply, at + 3);
    answer->retry_after_ms = (number_at(reply, at + 4) + 999) / 1000;
}

/* The last four: whose, of what, how much, what is left. */
static void fill_budget(struct admission_answer *answer, const struct redis_reply *reply)
{
    size_t at = redis_reply_count(reply) - 4;

    answer->budget.scope = text_is(reply, at, "key")     ? BUDGET_OF_KEY
                           : text_is(reply, at, "model") ? BUDGET_OF_MODEL
                                                         : BUDGET_OF_ACCOUNT;
    answer->budget.is_of_month = text_is(reply, at + 1, "month");
    answer->budget.nanos = number_at(reply, at + 2);
    answer->budget.left = number_at(reply, at + 3);
}

bool admission_answer_mode(const struct redis_reply *reply, bool *is_postpaid)
{
    if (redis_reply_count(reply) <= MODE_AT)
        return false;
    *is_postpaid = text_is(reply, MODE_AT, "postpaid");
    return true;
}

static bool text_is(const struct redis_reply *reply, size_t i, const char *word)
{
    return span_equal(redis_reply_text(redis_reply_at(reply, i)), span_of(word));
}

static int64_t number_at(const struct redis_reply *reply, size_t i)
{
    const struct redis_reply *item = redis_reply_at(reply, i);
    int64_t n = 0;

    if (redis_reply_type(item) == REDIS_INT)
        return redis_reply_int(item);
    return int64_parse(redis_reply_text(item), &n) ? n : 0;
}
