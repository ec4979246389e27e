/* operation.c - what Redis keeps of an operation is what its record set, spelled by billing/setting; so is what is asked
 * for now, and the two are compared as texts. */
#include "gateway/operation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "billing/setting.h"
#include "gateway/service.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

#define WORDS_BEFORE_VALUES 4 /* revision at writer n */
#define FIELD_TEXT          (ID_TEXT + 8)

struct look {
    enum setting_form form;
    bool is_part;
    char values[SETTING_TEXT];
    operation_on_seen *on_seen;
    void *arg;
};

static bool read_record(const struct operation_ask *ask, struct look *l, char op[ID_TEXT]);
static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err);
static enum operation_seen compare(const struct look *l, const struct redis_reply *reply);
static bool is_same(const struct look *l, struct span values);
static struct span values_of(struct span entry);

void operation_look(struct redis *redis, const struct operation_ask *ask,
                    operation_on_seen *on_seen, void *arg)
{
    const char *what = ask->kind == RECORD_ACCOUNT ? "terms:account" : "terms:key";
    struct look *l = xcalloc(1, sizeof *l);
    char key[PARTITION_KEY], op[ID_TEXT] = "", fields[SETTING_FORMS][FIELD_TEXT];
    struct span argv[2 + SETTING_FORMS] = {SPAN("HMGET")};

    if (!read_record(ask, l, op))
        op[0] = '\0'; /* nothing has that id */
    l->is_part = ask->is_part;
    l->on_seen = on_seen;
    l->arg = arg;
    argv[1] = partition_key(ask->partition, what, ask->id, key);
    for (int form = 0; form < SETTING_FORMS; form++) {
        snprintf(fields[form], FIELD_TEXT, "%s %s", setting_form_name((enum setting_form)form), op);
        argv[2 + form] = span_of(fields[form]);
    }
    redis_command(redis, argv, ARRAY_LEN(argv), on_entries, l);
}

static bool read_record(const struct operation_ask *ask, struct look *l, char op[ID_TEXT])
{
    AUTO(members) members = members_new();
    struct setting setting;

    if (!members_read(members, ask->record) || !setting_read(members, ask->kind, &setting))
        return false;
    l->form = setting.form;
    memcpy(l->values, setting.values, sizeof l->values);
    return span_copy(span_of(setting.op), op, ID_TEXT);
}

static void on_entries(void *arg, const struct redis_reply *reply, const struct err *err)
{
    struct look *l = arg;
    struct err bad;

    if (!err && redis_reply_type(reply) != REDIS_ARRAY) {
        err_set(&bad, ERR_UNAVAILABLE, "Redis answered: %.*s", SPAN_FMT(redis_reply_text(reply)));
        err = &bad;
    }
    l->on_seen(l->arg, err ? OPERATION_NEW : compare(l, reply), err);
    free(l);
}

static enum operation_seen compare(const struct look *l, const struct redis_reply *reply)
{
    enum operation_seen seen = OPERATION_NEW;

    for (size_t form = 0; form < SETTING_FORMS; form++) {
        const struct redis_reply *entry = redis_reply_at(reply, form);

        if (redis_reply_type(entry) != REDIS_TEXT)
            continue;
        seen = form == l->form && is_same(l, values_of(redis_reply_text(entry))) ? OPERATION_SAME
                                                                                 : OPERATION_OTHER;
        if (seen == OPERATION_OTHER)
            return seen;
    }
    return seen;
}

static bool is_same(const struct look *l, struct span values)
{
    AUTO_STRING kept = NULL;

    if (!l->is_part)
        return span_equal(values, span_of(l->values));
    kept = xasprintf(" %.*s ", SPAN_FMT(values));
    for (const char *word = l->values; *word; word += strcspn(word, " "), word += *word == ' ') {
        AUTO_STRING asked = xasprintf(" %.*s ", (int)strcspn(word, " "), word);

        if (!strstr(kept, asked))
            return false;
    }
    return true;
}

static struct span values_of(struct span entry)
{
    for (int word = 0; word < WORDS_BEFORE_VALUES; word++) {
        const char *blank = memchr(entry.data, ' ', entry.len);
        size_t n = blank ? (size_t)(blank - entry.data) + 1 : entry.len;

        entry = (struct span){entry.data + n, entry.len - n};
    }
    return entry;
}

void operation_mark_repeated(struct buf *json)
{
    if (json->failed)
        return;
    assert(json->len > 0 && json->data[json->len - 1] == '}');
    buf_truncate(json, json->len - 1);
    buf_add_string(json, ",\"repeated\":true}");
}

void operation_reply_other(struct http_request *r, const char *op)
{
    reply_problem(
        r, CALLER_CONFLICT,
        "operation %s was booked already, with other values; another change needs another "
        "operation id",
        op);
}

void key_reply_other(struct http_request *r, const char *op, const char *public_id)
{
    reply_problem(r, CALLER_CONFLICT,
                  "operation %s made key %s already, with other values or under a pepper that is "
                  "no longer there; another key needs another operation id",
                  op, public_id);
}
