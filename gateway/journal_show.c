/* journal_show.c - every writer of the installation: this host's from their directories, the others' from what they
 * registered in the archive and last said in Redis. */
#include "gateway/journal_show.h"

#include <stdlib.h>

#include "billing/archive.h"
#include "billing/retirement.h"
#include "billing/writer_words.h"
#include "gateway/journal_report.h"
#include "gateway/service.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define ANSWER_MAX (4 * 1024 * 1024)

/* One answer. Every writer says the same in all partitions, so one of them is asked. */
struct show {
    struct http_request *request; /* null once the client is gone */
    struct redis *redis;
    const char *archive;
    struct journal_report here;
    struct archive_writer *writers;
    size_t writer_count;
    int64_t *heard_at; /* of each of them, by Redis's clock; 0: never, or not known */
    int64_t redis_time;
};

static bool read_files(struct show *s, const struct options *o, struct err *err);
static void on_time(void *arg, const struct redis_reply *reply, const struct err *err);
static void on_live(void *arg, const struct redis_reply *reply, const struct err *err);
static void take_word(struct show *s, struct span writer, struct span text);
static void end(struct show *s);
static void answer(struct show *s);
static void write_entry(const struct show *s, const struct journal_entry *e, struct jw *w);
static bool is_here(const struct show *s, const char *writer);
static void write_writer(const struct show *s, const struct archive_writer *writer, struct jw *w);
static const char *where_it_is(const struct show *s, const struct archive_writer *writer);
static void write_registration(const struct show *s, const struct archive_writer *writer,
                               struct jw *w);
static void show_free(struct show *s);

void journal_get(void *server, struct http_request *r, const struct route_match *match)
{
    struct console *c = server;
    struct show *s = xcalloc(1, sizeof *s);
    const struct span time[] = {SPAN("TIME")};
    struct err err;

    (void)match;
    s->redis = c->ledger.redis;
    if (!read_files(s, c->options, &err)) {
        reply_err(r, &err);
        show_free(s);
        return;
    }
    request_keep(r, &s->request);
    redis_command(s->redis, time, ARRAY_LEN(time), on_time, s);
}

static bool read_files(struct show *s, const struct options *o, struct err *err)
{
    s->archive = o->archive;
    if (!journal_report_read(o->journal, &s->here, err) ||
        !archive_writers(o->archive, &s->writers, &s->writer_count, err))
        return false;
    s->heard_at = xcalloc(s->writer_count + 1, sizeof *s->heard_at);
    return true;
}

/* Only then what writers said: two questions at once may be answered by two servers, in either order. */
static void on_time(void *arg, const struct redis_reply *reply, const struct err *err)
{
    static const struct partition asked = {SIDE_ACCOUNT, 0};
    struct show *s = arg;
    char key[PARTITION_KEY];
    const struct span live[] = {SPAN("HGETALL"), partition_key(asked, "live", NULL, key)};
    int64_t seconds;

    if (!err && redis_reply_count(reply) == 2 &&
        int64_parse(redis_reply_text(redis_reply_at(reply, 0)), &seconds))
        s->redis_time = seconds * NANOS_PER_SECOND;
    if (err)
        end(s);
    else
        redis_command(s->redis, live, ARRAY_LEN(live), on_live, s);
}

static void on_live(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct show *s = arg;

    for (size_t i = 0; !err && i + 1 < redis_reply_count(reply); i += 2)
        take_word(s, redis_reply_text(redis_reply_at(reply, i)),
                  redis_reply_text(redis_reply_at(reply, i + 1)));
    end(s);
}

static void take_word(struct show *s, struct span writer, struct span text)
{
    struct live_word word;

    if (!live_word_parse(text, &word))
        return;
    for (size_t i = 0; i < s->writer_count; i++)
        if (span_equal(writer, span_of(s->writers[i].writer)))
            s->heard_at[i] = word.heard_ms * NANOS_PER_MS;
}

/* Without Redis the files still say who there is. */
static void end(struct show *s)
{
    if (s->request)
        answer(s);
    show_free(s);
}

static void answer(struct show *s)
{
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    struct jw w;

    jw_init(&w, &json);
    jw_object(&w);
    jw_key(&w, "data");
    jw_array(&w);
    for (size_t i = 0; i < s->here.count; i++)
        write_entry(s, &s->here.entries[i], &w);
    for (size_t i = 0; i < s->writer_count; i++)
        if (!is_here(s, s->writers[i].writer))
            write_writer(s, &s->writers[i], &w);
    jw_array_end(&w);
    jw_object_end(&w);
    reply_built(s->request, &json);
}

static void write_entry(const struct show *s, const struct journal_entry *e, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "writer", e->writer);
    jw_string_member(w, "where", "here");
    for (size_t i = 0; i < s->writer_count; i++)
        if (strcmp(s->writers[i].writer, e->writer) == 0)
            write_registration(s, &s->writers[i], w);
    journal_entry_write(e, w);
    jw_object_end(w);
}

static bool is_here(const struct show *s, const char *writer)
{
    for (size_t i = 0; i < s->here.count; i++)
        if (strcmp(s->here.entries[i].writer, writer) == 0)
            return true;
    return false;
}

static void write_writer(const struct show *s, const struct archive_writer *writer, struct jw *w)
{
    jw_object(w);
    jw_string_member(w, "writer", writer->writer);
    jw_string_member(w, "where", where_it_is(s, writer));
    write_registration(s, writer, w);
    jw_object_end(w);
}

/* Another host's writer that said nothing for a minute has stopped, or is lost: twice what retiring asks for, so that
 * every partition's last word is old enough for a rebuild to take it for lost too. Of one that was
 * retired nothing is waited for. */
static const char *where_it_is(const struct show *s, const struct archive_writer *writer)
{
    if (retirement_is_final(s->archive, writer->writer))
        return "retired";
    return s->redis_time - s->heard_at[writer - s->writers] < 2 * LIVE_SILENT_MS * NANOS_PER_MS
               ? "elsewhere"
               : "silent";
}

static void write_registration(const struct show *s, const struct archive_writer *writer,
                               struct jw *w)
{
    int64_t heard_at = s->heard_at[writer - s->writers];

    jw_string_member(w, "first_period", writer->first_period.text);
    jw_int_member(w, "archived", (int64_t)writer->segments);
    if (heard_at)
        jw_time_member(w, "heard_at", heard_at + clock_offset());
}

static void show_free(struct show *s)
{
    journal_report_clear(&s->here);
    free(s->writers);
    free(s->heard_at);
    free(s);
}
