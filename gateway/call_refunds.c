/* call_refunds.c - one hash in the account's partition holds all refunds of a call. */
#include "gateway/call_refunds.h"

#include <stdlib.h>

#include "billing/partition.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"

#define WORDS_BEFORE_RECORD 6 /* period at writer n nanos charged */

struct reading {
    call_refunds_on_read *on_read;
    void *arg;
};

static void on_hash(void *arg, const struct redis_reply *reply, const struct err *err);
static bool take_all(const struct redis_reply *reply, struct refund_set *out, struct err *err);
static bool take_record(struct span value, struct refund_set *out, struct err *err);
static bool parse_line(const char *line, struct refund *out);

void call_refunds_read(struct redis *redis, const char *account, const char *request_id,
                       call_refunds_on_read *on_read, void *arg)
{
    struct partition p = partition_of(SIDE_ACCOUNT, span_of(account));
    struct reading *r = xcalloc(1, sizeof *r);
    char key[PARTITION_KEY];
    struct span argv[] = {SPAN("HGETALL"), partition_key(p, "refunds", request_id, key)};

    r->on_read = on_read;
    r->arg = arg;
    redis_command(redis, argv, ARRAY_LEN(argv), on_hash, r);
}

static void on_hash(void *arg, const struct redis_reply *reply, const struct err *err)
{
    AUTO_CLEAR(refund_set) refunds = {0};
    struct reading *r = arg;
    struct err bad;

    if (!err && !take_all(reply, &refunds, &bad))
        err = &bad;
    refund_set_decide(&refunds);
    r->on_read(r->arg, err ? NULL : &refunds, err);
    free(r);
}

static bool take_all(const struct redis_reply *reply, struct refund_set *out, struct err *err)
{
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2)
        if (!take_record(redis_reply_text(redis_reply_at(reply, i + 1)), out, err))
            return err_context(err, "what Redis holds of a refund can't be read");
    return true;
}

static bool take_record(struct span value, struct refund_set *out, struct err *err)
{
    struct record_head head;
    struct refund refund;
    AUTO_JSON object = NULL;

    for (int word = 0; word < WORDS_BEFORE_RECORD; word++) {
        const char *blank = memchr(value.data, ' ', value.len);
        size_t n = blank ? (size_t)(blank - value.data) + 1 : value.len;

        value = (struct span){value.data + n, value.len - n};
    }
    if (!record_head_parse(value, &head, err) || !(object = json_parse(value, err)) ||
        !refund_parse(object, &refund, err))
        return false;
    refund_set_add(out, &refund, &head, value);
    return true;
}

const struct refund_entry *call_refunds_find(const struct refund_set *refunds, const char *op)
{
    for (size_t i = 0; i < refunds->count; i++)
        if (strcmp(refunds->entries[i].op, op) == 0)
            return &refunds->entries[i];
    return NULL;
}

int64_t call_refunds_total(const struct refund_set *refunds)
{
    int64_t total = 0;

    for (size_t i = 0; i < refunds->count; i++)
        if (refunds->entries[i].counts)
            total += refunds->entries[i].nanos;
    return total;
}

void call_refunds_write(const struct refund_set *refunds, struct jw *w)
{
    char decimal[DECIMAL_TEXT];
    struct refund refund;

    if (call_refunds_total(refunds) == 0)
        return;
    jw_string_member(w, "refunded", decimal_format(call_refunds_total(refunds), decimal));
    jw_key(w, "refunds");
    jw_array(w);
    for (size_t i = 0; i < refunds->count; i++) {
        if (!refunds->entries[i].counts || !parse_line(refunds->entries[i].line, &refund))
            continue;
        jw_object(w);
        jw_string_member(w, "op", refund.op);
        jw_string_member(w, "amount", decimal_format(refund.amount.nanos, decimal));
        jw_string_member(w, "reason", refund.reason);
        jw_string_member(w, "period", refund.period.text);
        jw_time_member(w, "at", refund.at);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static bool parse_line(const char *line, struct refund *out)
{
    AUTO_JSON object = json_parse(span_of(line), NULL);

    return object && refund_parse(object, out, NULL);
}
