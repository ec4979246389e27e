/* writer_silence.c - a living writer tells every partition each ten seconds, so that any one of them knows. */
#include "gateway/writer_silence.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/writer_words.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

struct listening {
    struct console *console;
    char writer[WRITER_TEXT];
    writer_silence_on_read *on_read;
    void *arg;
    int64_t redis_ms;
};

static void on_time(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_word(void *arg, const struct redis_reply *reply, const struct err *err);
static bool is_answer(const struct redis_reply *reply, const struct err *err, struct err *why);
static void end(struct listening *l, int64_t silent_ms, const struct err *err);

void writer_silence_read(struct console *c, const char *writer, writer_silence_on_read *on_read,
                         void *arg)
{
    const struct span time[] = {SPAN("TIME")};
    struct listening *l = xcalloc(1, sizeof *l);

    *l = (struct listening){.console = c, .on_read = on_read, .arg = arg};
    snprintf(l->writer, sizeof l->writer, "%s", writer);
    redis_command_to(c->ledger.redis, 0, &(struct redis_words)REDIS_WORDS(time), on_time, l);
}

static void on_time(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct listening *l = arg;
    char key[PARTITION_KEY];
    const struct partition asked = {SIDE_ACCOUNT, 0};
    const struct span argv[] = {SPAN("HGET"), partition_key(asked, "live", NULL, key),
                                span_of(l->writer)};
    int64_t seconds = 0;
    struct err why;

    if (!is_answer(reply, err, &why)) {
        end(l, 0, &why);
        return;
    }
    if (int64_parse(redis_reply_text(redis_reply_at(reply, 0)), &seconds))
        l->redis_ms = seconds * 1000;
    redis_command(l->console->ledger.redis, argv, ARRAY_LEN(argv), on_word, l);
}

static void on_word(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct listening *l = arg;
    struct live_word word;
    struct err why;

    if (!is_answer(reply, err, &why))
        end(l, 0, &why);
    else if (!live_word_parse(redis_reply_text(reply), &word))
        end(l, INT64_MAX, NULL);
    else
        end(l, l->redis_ms > word.heard_ms ? l->redis_ms - word.heard_ms : 0, NULL);
}

static bool is_answer(const struct redis_reply *reply, const struct err *err, struct err *why)
{
    struct err refused;

    err = redis_failure(reply, err, &refused);
    if (err)
        *why = *err;
    return !err;
}

static void end(struct listening *l, int64_t silent_ms, const struct err *err)
{
    l->on_read(l->arg, silent_ms, err);
    free(l);
}
