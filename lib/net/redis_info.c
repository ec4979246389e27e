/* redis_info.c - INFO is lines of "name:value". A missing field is an error: to guess that nothing
 * needs a rewrite would be to write to an AOF that loads wrongly. */
#include "lib/net/redis_info.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

#define ID_LEN (REDIS_RUN_ID / 2 - 1)

static bool find_run(struct span text, char out[REDIS_RUN_ID], struct err *err);
static bool find_id(struct span text, const char *name, struct span *value, struct err *err);
static bool find(struct span text, const char *name, struct span *value, struct err *err);
static bool find_flag(struct span text, const char *name, bool *out, struct err *err);
static bool find_rewritten(struct span text, bool *out, struct err *err);

bool redis_info_parse(struct span text, struct redis_info *out, struct err *err)
{
    struct redis_info info = {.is_loading = false};
    struct span role, enabled;
    bool is_running, is_scheduled;

    if (!find_run(text, info.run_id, err) || !find(text, "role", &role, err) ||
        !find_flag(text, "loading", &info.is_loading, err) ||
        !find_flag(text, "aof_enabled", &info.has_aof, err) ||
        !find_flag(text, "aof_rewrite_in_progress", &is_running, err) ||
        !find_flag(text, "aof_rewrite_scheduled", &is_scheduled, err) ||
        !find_rewritten(text, &info.has_rewritten, err))
        return false;
    info.in_cluster =
        find(text, "cluster_enabled", &enabled, NULL) && !span_equal(enabled, SPAN("0"));
    info.is_master = span_equal(role, SPAN("master"));
    info.is_rewriting = is_running || is_scheduled;
    *out = info;
    return true;
}

bool redis_info_is_run(struct span replication, const char run_id[REDIS_RUN_ID])
{
    struct span role, id;

    return find(replication, "role", &role, NULL) && span_equal(role, SPAN("master")) &&
           find_id(replication, "master_replid", &id, NULL) &&
           span_equal(id, span_of(run_id + ID_LEN + 1));
}

static bool find_run(struct span text, char out[REDIS_RUN_ID], struct err *err)
{
    struct span run, replication;

    if (!find_id(text, "run_id", &run, err) || !find_id(text, "master_replid", &replication, err))
        return false;
    snprintf(out, REDIS_RUN_ID, "%.*s-%.*s", SPAN_FMT(run), SPAN_FMT(replication));
    return true;
}

static bool find_id(struct span text, const char *name, struct span *value, struct err *err)
{
    return find(text, name, value, err) &&
           (value->len == ID_LEN || err_set(err, ERR_PROTOCOL, "INFO has an unusable %s", name));
}

static bool find(struct span text, const char *name, struct span *value, struct err *err)
{
    return redis_info_find(text, name, value) || err_set(err, ERR_PROTOCOL, "INFO has no %s", name);
}

bool redis_info_find(struct span text, const char *name, struct span *value)
{
    size_t len = strlen(name);

    while (text.len) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t line = end ? (size_t)(end - text.data) : text.len;

        if (line > len && memcmp(text.data, name, len) == 0 && text.data[len] == ':') {
            *value = (struct span){text.data + len + 1, line - len - 1};
            if (value->len && value->data[value->len - 1] == '\r')
                value->len--;
            return true;
        }
        line += end != NULL;
        text = (struct span){text.data + line, text.len - line};
    }
    return false;
}

static bool find_flag(struct span text, const char *name, bool *out, struct err *err)
{
    struct span value;

    if (!find(text, name, &value, err))
        return false;
    *out = !span_equal(value, SPAN("0"));
    return true;
}

/* The time is -1 until a rewrite has ended, well or not. */
static bool find_rewritten(struct span text, bool *out, struct err *err)
{
    struct span time, status;
    int64_t seconds;

    if (!find(text, "aof_last_rewrite_time_sec", &time, err) ||
        !find(text, "aof_last_bgrewrite_status", &status, err))
        return false;
    if (!int64_parse(time, &seconds))
        return err_set(err, ERR_PROTOCOL, "INFO has an unusable aof_last_rewrite_time_sec");
    *out = seconds >= 0 && span_equal(status, SPAN("ok"));
    return true;
}
