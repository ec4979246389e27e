/* echo.c - a model that needs no server: for the demo, for tests, and to measure the gateway alone. A call is a machine that
 * a timer drives: one step gives out one chunk, a few steps are taken a turn, and a word waits for its delay before. */
#include "backends/echo.h"

#include "backends/echo_format.h"
#include "backends/echo_prompt.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "lib/base/text.h"

#define CHOICES_MAX    8
#define STEPS_A_TURN   64
#define ID_RANDOM      24
#define ESCAPE_MAX     6 /* bytes that one byte of text may take in JSON */
#define ENVELOPE_BYTES 1024

struct echo {
    struct backend base;
    struct loop *loop;
    int64_t delay_ms;
};

enum state { ROLE, WORD, FINISH, PLAIN, USAGE, DONE, REFUSE, END, STATES };

struct echo_call {
    struct backend_call base;
    const struct echo *echo;
    struct backend_handlers handlers;
    void *arg;
    struct timer *timer;
    enum state state;
    bool has_started, is_paused, is_cancelled;
    bool wants_stream;
    int64_t choice;     /* whose turn it is in the present state */
    int64_t words_left; /* to be given to each choice */
    size_t at;          /* in the prompt's text, where the next word begins */
    size_t answer_len;  /* of the prompt's text, the words that fit under the cap */
    struct echo_prompt prompt;
    struct echo_answer answer;
    char *model;
    struct buf out;
    enum backend_outcome outcome;
    struct err err; /* why it is refused or broken */
};

static bool echo_check(const struct backend_config *config, const char **option, struct err *err);
static struct backend *echo_open(struct loop *loop, const struct backend_config *config,
                                 struct err *err);
static void echo_free(struct backend *b);
static struct backend_call *echo_start(struct backend *b, const struct backend_request *request,
                                       const struct backend_handlers *handlers, void *arg,
                                       struct err *err);
static void echo_pause(struct backend_call *base);
static void echo_resume(struct backend_call *base);
static void echo_cancel(struct backend_call *base);

static void echo_call_free(struct echo_call *c);
DEFINE_AUTO(echo_call)
static bool read_request(struct echo_call *c, const struct backend_request *request,
                         struct err *err);
static int64_t cap_of(const struct backend_request *request);
static void cut_answer(struct echo_call *c, int64_t cap);
static int64_t delay_before(const struct echo_call *c);
static void on_timer(void *arg);
static void end_call(struct echo_call *c);
static enum state give_role(struct echo_call *c);
static enum state give_word(struct echo_call *c);
static enum state give_finish(struct echo_call *c);
static enum state give_plain(struct echo_call *c);
static enum state give_usage(struct echo_call *c);
static enum state give_done(struct echo_call *c);
static enum state refuse(struct echo_call *c);
static bool next_choice(struct echo_call *c);
static void give(struct echo_call *c, int64_t content, bool closing);
static void note_output(struct echo_call *c);

const struct backend_kind echo_kind = {
    .name = "echo",
    .about = "built in: answers the last user message word by word, a token a word",
    .speaks = 1u << DIALECT_OPENAI_CHAT,
    .check = echo_check,
    .open = echo_open,
    .free = echo_free,
    .start = echo_start,
    .pause = echo_pause,
    .resume = echo_resume,
    .cancel = echo_cancel,
};

/* Each step gives out at most one event and says what comes next. */
static enum state (*const steps[STATES])(struct echo_call *c) = {
    [ROLE] = give_role,     /* -> WORD or FINISH, after one for each choice */
    [WORD] = give_word,     /* -> WORD, FINISH */
    [FINISH] = give_finish, /* -> USAGE or DONE */
    [PLAIN] = give_plain,   /* -> END */
    [USAGE] = give_usage,   /* -> DONE */
    [DONE] = give_done,     /* -> END */
    [REFUSE] = refuse,      /* -> END */
};

static bool echo_check(const struct backend_config *config, const char **option, struct err *err)
{
    *option = "url";
    if (config->url)
        return err_set(err, ERR_INPUT, "echo is built in and has no url");
    *option = "delay";
    return config->delay_ms >= 0 ||
           err_set(err, ERR_INPUT, "the delay of an echo backend must not be negative");
}

static struct backend *echo_open(struct loop *loop, const struct backend_config *config,
                                 struct err *err)
{
    const char *option;
    struct echo *e;

    if (!echo_check(config, &option, err))
        return NULL;
    e = xcalloc(1, sizeof *e);
    e->base.kind = &echo_kind;
    e->loop = loop;
    e->delay_ms = config->delay_ms;
    return &e->base;
}

static void echo_free(struct backend *b)
{
    free(b);
}

/* What it cannot do is refused as a provider would, in a later turn. */
static struct backend_call *echo_start(struct backend *b, const struct backend_request *request,
                                       const struct backend_handlers *handlers, void *arg,
                                       struct err *err)
{
    AUTO(echo_call) c = xcalloc(1, sizeof *c);

    (void)err;
    c->base.kind = &echo_kind;
    c->echo = (struct echo *)b;
    c->handlers = *handlers;
    c->arg = arg;
    c->wants_stream = request->stream;
    c->timer = timer_new(c->echo->loop, on_timer, c);
    if (!read_request(c, request, &c->err))
        c->state = REFUSE;
    timer_start(c->timer, delay_before(c));
    return &KEEP(c)->base;
}

static bool read_request(struct echo_call *c, const struct backend_request *request,
                         struct err *err)
{
    struct echo_answer *a = &c->answer;

    a->choices = request->choices > 0 ? request->choices : 1;
    if (a->choices > CHOICES_MAX)
        return err_set(err, ERR_INPUT, "this model gives at most %d choices", CHOICES_MAX);
    if (!echo_prompt_read(request->body, &c->prompt, err))
        return false;
    c->model = xstrdup(request->model);
    memcpy(a->id, "chatcmpl-", 9);
    rand_text(a->id + 9, ID_RANDOM);
    a->model = c->model;
    a->created = clock_now() / NANOS_PER_SECOND;
    a->usage_wanted = request->usage_wanted;
    a->input_tokens = c->prompt.input_words;
    cut_answer(c, cap_of(request));
    buf_init(&c->out,
             (c->prompt.text.len * ESCAPE_MAX + strlen(c->model) * ESCAPE_MAX + ENVELOPE_BYTES) *
                 (size_t)a->choices);
    usage_set(&c->base.usage, USAGE_INPUT, a->input_tokens, USAGE_UPSTREAM);
    note_output(c);
    c->state = c->wants_stream ? ROLE : PLAIN;
    return true;
}

/* The smaller of the caller's and the gateway's; none is the largest number. */
static int64_t cap_of(const struct backend_request *request)
{
    int64_t cap = request->output_cap > 0 ? request->output_cap : INT64_MAX;
    int64_t stated;

    if (request->cap_value.data && int64_parse(request->cap_value, &stated) && stated < cap)
        cap = stated;
    return cap;
}

static void cut_answer(struct echo_call *c, int64_t cap)
{
    struct span text = buf_span(&c->prompt.text);

    c->answer.finish_reason = "stop";
    for (;;) {
        struct span word = echo_next_word(text, c->answer_len);

        if (word.len == 0)
            return;
        if (c->words_left >= cap)
            break;
        c->answer_len += word.len;
        c->words_left++;
    }
    c->answer.finish_reason = "length";
}

static void echo_call_free(struct echo_call *c)
{
    if (!c)
        return;
    timer_free(c->timer);
    echo_prompt_clear(&c->prompt);
    buf_clear(&c->out);
    free(c->model);
    free(c);
}

static void echo_pause(struct backend_call *base)
{
    struct echo_call *c = (struct echo_call *)base;

    c->is_paused = true;
    if (!c->is_cancelled)
        timer_stop(c->timer);
}

static void echo_resume(struct backend_call *base)
{
    struct echo_call *c = (struct echo_call *)base;

    if (c->is_paused && !c->is_cancelled)
        timer_start(c->timer, delay_before(c));
    c->is_paused = false;
}

static void echo_cancel(struct backend_call *base)
{
    struct echo_call *c = (struct echo_call *)base;

    c->is_cancelled = true;
    timer_start(c->timer, 0);
}

/* A plain answer waits at once as long as all its words. */
static int64_t delay_before(const struct echo_call *c)
{
    int64_t ms;

    if (c->state == WORD && c->choice == 0)
        return c->echo->delay_ms;
    if (c->state != PLAIN)
        return 0;
    return __builtin_mul_overflow(c->echo->delay_ms, c->words_left, &ms) ? INT32_MAX : ms;
}

static void on_timer(void *arg)
{
    struct echo_call *c = arg;

    for (int i = 0; i < STEPS_A_TURN && !c->is_cancelled; i++) {
        c->state = steps[c->state](c);
        if (c->outcome == BACKEND_BROKEN)
            c->state = END;
        if (c->state == END || c->is_paused || delay_before(c) > 0)
            break;
    }
    if (c->is_cancelled || c->state == END)
        end_call(c);
    else if (!c->is_paused)
        timer_start(c->timer, delay_before(c));
}

static void end_call(struct echo_call *call)
{
    AUTO(echo_call) c = call;
    struct backend_result result = {.accepted = true};

    result.outcome = c->is_cancelled ? BACKEND_CANCELLED : c->outcome;
    if (result.outcome == BACKEND_REFUSED) {
        result.status = 400;
        result.body = buf_span(&c->out);
    } else {
        result.usage = c->base.usage;
    }
    if (result.outcome == BACKEND_BROKEN)
        result.err = c->err;
    c->handlers.on_end(c->arg, &result);
}

/* --- steps --- */

static enum state give_role(struct echo_call *c)
{
    echo_write_role(&c->answer, c->choice, &c->out);
    give(c, 0, false);
    if (next_choice(c))
        return ROLE;
    return c->words_left > 0 ? WORD : FINISH;
}

/* Every choice gets a word before any gets the next. */
static enum state give_word(struct echo_call *c)
{
    struct span answer = {c->prompt.text.data, c->answer_len};
    struct span word = echo_next_word(answer, c->at);

    echo_write_word(&c->answer, c->choice, word, &c->out);
    c->answer.output_tokens++;
    give(c, 1, false);
    if (next_choice(c))
        return WORD;
    c->at += word.len;
    return --c->words_left > 0 ? WORD : FINISH;
}

static enum state give_finish(struct echo_call *c)
{
    echo_write_finish(&c->answer, c->choice, &c->out);
    give(c, 0, false);
    if (next_choice(c))
        return FINISH;
    return c->answer.usage_wanted ? USAGE : DONE;
}

static enum state give_plain(struct echo_call *c)
{
    int64_t choices = c->answer.choices;

    c->answer.output_tokens = c->words_left * choices;
    echo_write_reply(&c->answer, (struct span){buf_span(&c->prompt.text).data, c->answer_len},
                     &c->out);
    give(c, c->words_left > 0 ? choices : 0, true);
    return END;
}

static enum state give_usage(struct echo_call *c)
{
    echo_write_usage(&c->answer, &c->out);
    give(c, 0, true);
    return DONE;
}

static enum state give_done(struct echo_call *c)
{
    echo_write_done(&c->out);
    give(c, 0, true);
    return END;
}

static enum state refuse(struct echo_call *c)
{
    buf_init(&c->out, BACKEND_REFUSAL_MAX);
    echo_write_error(c->err.text, &c->out);
    c->outcome = BACKEND_REFUSED;
    return END;
}

/* False when all have had their turn and the first is next again. */
static bool next_choice(struct echo_call *c)
{
    c->choice = c->choice + 1 < c->answer.choices ? c->choice + 1 : 0;
    return c->choice > 0;
}

/* Gives out what stands in `out`, unless the start was answered with a cancel. */
static void give(struct echo_call *c, int64_t content, bool closing)
{
    struct backend_event event = {buf_span(&c->out), content, closing};

    if (!buf_ok(&c->out, "the answer", &c->err)) {
        c->outcome = BACKEND_BROKEN;
        return;
    }
    note_output(c);
    if (!c->has_started) {
        c->has_started = true;
        c->handlers.on_start(
            c->arg, 200, c->wants_stream ? SPAN("text/event-stream") : SPAN("application/json"));
    }
    if (!c->is_cancelled)
        c->handlers.on_event(c->arg, &event);
    buf_truncate(&c->out, 0);
}

static void note_output(struct echo_call *c)
{
    usage_set(&c->base.usage, USAGE_OUTPUT, c->answer.output_tokens, USAGE_UPSTREAM);
}
