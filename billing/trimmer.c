/* trimmer.c - one stream after the other, a step at a time, with a rest between steps: trimming takes about 2 µs of Redis's
 * time an entry. The script is not waited for before the next entries are read, since commands are done in order: so it keeps
 * up with a Redis that is busy, whose every answer takes long. */
#include "billing/trimmer.h"

#include <inttypes.h>
#include <stdio.h>

#include "billing/scripts.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define STEP           1024
#define STEP_REST_MS   2
#define FILES_A_PASS   64
#define PAGE           "512"
#define PATTERN        "tg:{a*}:events:*"
#define STREAM_ID_TEXT 48
#define REQUEST_MEMBER "\"request_id\":\""

/* An entry that goes. */
struct entry {
    char id[STREAM_ID_TEXT];
    char request_id[REQUEST_ID_TEXT]; /* of a call */
};

struct trimmer {
    struct redis *redis;
    struct archive_index *index;
    struct trimmer_config config;
    struct timer *rest, *step;
    size_t pending; /* commands on their way */
    bool is_gone, has_failed;
    uint64_t removed, passes, removed_before; /* this pass */

    char before[STREAM_ID_TEXT]; /* the newest id that is old enough */
    size_t server;               /* whose names are listed */
    char cursor[STREAM_ID_TEXT];
    char (*keys)[PARTITION_KEY]; /* streams of calls: a page of names */
    size_t key_count, next_key;
    unsigned next_records; /* streams of changes: 0 … PARTITIONS_ALL, after the calls */

    char key[PARTITION_KEY], account[ID_TEXT]; /* the present stream; "" for changes */
    struct partition partition;
    uint64_t too_many; /* entries that it has beyond those that are kept, at least */
    struct entry *entries;
    size_t entry_count;
};

static void start_pass(void *arg);
static void end_pass(struct trimmer *t);
static void command(struct trimmer *t, const struct span *argv, size_t argc, redis_on_reply *on);
static bool answered(struct trimmer *t, const struct redis_reply *reply, const struct err *err,
                     enum redis_type type);
static void on_time(void *arg, const struct redis_reply *reply, const struct err *err);
static void list_page(struct trimmer *t);
static void on_page(void *arg, const struct redis_reply *reply, const struct err *err);
static void next_stream(struct trimmer *t);
static bool take_call_stream(struct trimmer *t);
static void look(void *arg);
static void on_length(void *arg, const struct redis_reply *reply, const struct err *err);
static void read_entries(void *arg);
static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err);
static bool may_go(struct trimmer *t, const struct redis_reply *entry, struct entry *out);
static bool request_of(struct span line, char out[REQUEST_ID_TEXT]);
static void take_out(struct trimmer *t);
static void on_taken_out(void *arg, const struct redis_reply *reply, const struct err *err);

struct trimmer *trimmer_new(struct loop *loop, struct redis *redis, struct archive_index *index,
                            const struct trimmer_config *config)
{
    struct trimmer *t = xcalloc(1, sizeof *t);

    t->redis = redis;
    t->index = index;
    t->config = *config;
    t->entries = xcalloc(STEP, sizeof *t->entries);
    t->rest = timer_new(loop, start_pass, t);
    t->step = timer_new(loop, read_entries, t);
    timer_start(t->rest, config->rest_ms);
    return t;
}

/* Answers that are still to come find it, and the last one frees it. */
void trimmer_free(struct trimmer *t)
{
    if (!t)
        return;
    timer_free(KEEP(t->rest));
    timer_free(KEEP(t->step));
    t->is_gone = true;
    if (t->pending > 0)
        return;
    free(t->entries);
    free(t->keys);
    free(t);
}

uint64_t trimmer_passes(const struct trimmer *t)
{
    return t->passes;
}

static void start_pass(void *arg)
{
    const struct span time = SPAN("TIME");
    struct trimmer *t = arg;
    bool is_whole;
    struct err err;

    if (t->pending > 0 || !redis_is_partly_ready(t->redis)) {
        timer_start(t->rest, t->config.rest_ms);
        return;
    }
    if (!archive_index_refresh(t->index, FILES_A_PASS, &is_whole, &err))
        log_warn("archive_unreadable", "what is not known to be archived stays in Redis: %s",
                 err.text);
    t->has_failed = false;
    t->removed_before = t->removed;
    command(t, &time, 1, on_time);
}

static void end_pass(struct trimmer *t)
{
    bool is_busy = t->removed > t->removed_before;

    if (!t->has_failed)
        t->passes++;
    timer_start(t->rest, is_busy ? t->config.rest_ms / 10 : t->config.rest_ms);
}

static void command(struct trimmer *t, const struct span *argv, size_t argc, redis_on_reply *on)
{
    t->pending++;
    redis_command(t->redis, argv, argc, on, t);
}

/* False when the pass ends here: Redis is away, or the trimmer is. */
static bool answered(struct trimmer *t, const struct redis_reply *reply, const struct err *err,
                     enum redis_type type)
{
    bool is_good = !err && redis_reply_type(reply) == type;

    t->pending--;
    if (t->is_gone) {
        trimmer_free(t);
        return false;
    }
    if (t->has_failed || is_good)
        return is_good && !t->has_failed;
    if (!err)
        log_warn("trimming_failed", "%s: Redis answered %.*s", t->key,
                 SPAN_FMT(redis_reply_text(reply)));
    t->has_failed = true;
    end_pass(t);
    return false;
}

/* [seconds, microseconds] */
static void on_time(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct trimmer *t = arg;
    uint64_t seconds = 0;
    int64_t before;

    if (!answered(t, reply, err, REDIS_ARRAY))
        return;
    if (!digits_parse(redis_reply_text(redis_reply_at(reply, 0)), INT64_MAX / 1000, &seconds))
        seconds = 0;
    before = (int64_t)seconds * 1000 - t->config.keep_ms;
    snprintf(t->before, sizeof t->before, "%" PRId64, before > 0 ? before : 0);
    t->server = 0;
    t->next_records = 0;
    snprintf(t->cursor, sizeof t->cursor, "0");
    list_page(t);
}

static void list_page(struct trimmer *t)
{
    const struct span argv[] = {SPAN("SCAN"),  span_of(t->cursor), SPAN("MATCH"),
                                SPAN(PATTERN), SPAN("COUNT"),      SPAN(PAGE)};

    t->pending++;
    redis_command_to(t->redis, t->server, &(struct redis_words)REDIS_WORDS(argv), on_page, t);
}

/* [cursor, [name …]] */
static void on_page(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct trimmer *t = arg;
    const struct redis_reply *names;

    if (!answered(t, reply, err, REDIS_ARRAY))
        return;
    names = redis_reply_at(reply, 1);
    if (!span_copy(redis_reply_text(redis_reply_at(reply, 0)), t->cursor, sizeof t->cursor))
        snprintf(t->cursor, sizeof t->cursor, "0");
    t->keys = xrealloc_array(t->keys, redis_reply_count(names) + 1, sizeof *t->keys);
    t->key_count = t->next_key = 0;
    for (size_t i = 0; i < redis_reply_count(names); i++)
        t->key_count += span_copy(redis_reply_text(redis_reply_at(names, i)), t->keys[t->key_count],
                                  PARTITION_KEY);
    next_stream(t);
}

static void next_stream(struct trimmer *t)
{
    while (t->next_key < t->key_count)
        if (take_call_stream(t)) {
            look(t);
            return;
        }
    if (strcmp(t->cursor, "0") != 0) {
        list_page(t);
        return;
    }
    if (t->server + 1 < redis_servers(t->redis)) {
        t->server++;
        list_page(t);
        return;
    }
    if (t->next_records == PARTITIONS_ALL) {
        end_pass(t);
        return;
    }
    t->partition = partition_at(t->next_records++);
    t->account[0] = '\0';
    partition_key(t->partition, "records", NULL, t->key);
    look(t);
}

/* "tg:{a17}:events:acme"; false when the account is not of that partition. */
static bool take_call_stream(struct trimmer *t)
{
    const char *name = t->keys[t->next_key++];
    const char *account = strstr(name, ":events:");

    if (!account || !span_copy(span_of(account + strlen(":events:")), t->account, ID_TEXT))
        return false;
    t->partition = partition_of(SIDE_ACCOUNT, span_of(t->account));
    return span_equal(partition_key(t->partition, "events", t->account, t->key), span_of(name));
}

static void look(void *arg)
{
    struct trimmer *t = arg;
    const struct span argv[] = {SPAN("XLEN"), span_of(t->key)};

    command(t, argv, ARRAY_LEN(argv), on_length);
}

static void on_length(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct trimmer *t = arg;
    int64_t length;

    if (!answered(t, reply, err, REDIS_INT))
        return;
    length = redis_reply_int(reply);
    if (length <= t->config.keep_entries) {
        next_stream(t);
        return;
    }
    t->too_many = (uint64_t)(length - t->config.keep_entries);
    read_entries(t);
}

static void read_entries(void *arg)
{
    struct trimmer *t = arg;
    char count[24];

    snprintf(count, sizeof count, "%" PRIu64, t->too_many < STEP ? t->too_many : STEP);
    const struct span argv[] = {SPAN("XRANGE"),     span_of(t->key), SPAN("-"),
                                span_of(t->before), SPAN("COUNT"),   span_of(count)};
    command(t, argv, ARRAY_LEN(argv), on_entries);
}

/* Up to the first that has to stay. */
static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct trimmer *t = arg;

    if (!answered(t, reply, err, REDIS_ARRAY))
        return;
    t->entry_count = 0;
    while (t->entry_count < redis_reply_count(reply) && t->entry_count < STEP &&
           may_go(t, redis_reply_at(reply, t->entry_count), &t->entries[t->entry_count]))
        t->entry_count++;
    if (t->entry_count > 0)
        take_out(t);
    t->too_many -= t->entry_count;
    if (t->entry_count == STEP && t->too_many > 0)
        timer_start(t->step, STEP_REST_MS);
    else
        next_stream(t);
}

/* [id, ["r", record]] */
static bool may_go(struct trimmer *t, const struct redis_reply *entry, struct entry *out)
{
    struct span line = redis_reply_text(redis_reply_at(redis_reply_at(entry, 1), 1));
    const struct record_heads *archived;
    struct record_head head;
    struct err err;

    if (!span_copy(redis_reply_text(redis_reply_at(entry, 0)), out->id, sizeof out->id) ||
        !record_head_parse(line, &head, &err) || !record_is_numbered(head.kind))
        return false;
    archived = archive_index_heads(t->index, head.writer);
    return archived && !record_is_beyond(archived, &head.place) &&
           (!t->account[0] || request_of(line, out->request_id));
}

/* A record's head has no such member, and an event begins with it. */
static bool request_of(struct span line, char out[REQUEST_ID_TEXT])
{
    const char *found = memmem(line.data, line.len, REQUEST_MEMBER, strlen(REQUEST_MEMBER));
    const char *id = found ? found + strlen(REQUEST_MEMBER) : NULL;
    const char *end = id ? memchr(id, '"', line.len - (size_t)(id - line.data)) : NULL;

    return end && span_copy((struct span){id, (size_t)(end - id)}, out, REQUEST_ID_TEXT) &&
           request_id_is_valid(span_of(out));
}

static void take_out(struct trimmer *t)
{
    char keys[2][PARTITION_KEY];
    const struct span key[] = {
        span_of(t->key),
        partition_key(t->partition, "index", t->account[0] ? t->account : NULL, keys[0]),
        partition_key(t->partition, "trimmed", NULL, keys[1]),
    };
    struct span args[3 + STEP] = {span_of(t->entries[0].id),
                                  span_of(t->entries[t->entry_count - 1].id), span_of(t->account)};
    bool is_of_calls = t->account[0] != '\0';
    const struct redis_eval eval = {script_get(SCRIPT_TRIM),
                                    {key, is_of_calls ? 3 : 1},
                                    {args, is_of_calls ? 3 + t->entry_count : 2}};

    for (size_t i = 0; i < t->entry_count; i++)
        args[3 + i] = span_of(t->entries[i].request_id);
    t->pending++;
    redis_eval(t->redis, &eval, on_taken_out, t);
}

static void on_taken_out(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct trimmer *t = arg;

    if (answered(t, reply, err, REDIS_INT))
        t->removed += (uint64_t)redis_reply_int(reply);
}
