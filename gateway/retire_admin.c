/* retire_admin.c - everything that can be refused is, before somebody's word is taken; what was confirmed and cut off is
 * finished by asking again. The writer is fenced off before anybody reads what Redis holds of it: what would be applied
 * after that reading would be in no archive. */
#include "gateway/retire_admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "billing/archive_retire.h"
#include "billing/writer_words.h"
#include "gateway/fence.h"
#include "gateway/journal_report.h"
#include "gateway/rebuild.h"
#include "gateway/service.h"
#include "gateway/writer_remains.h"
#include "gateway/writer_silence.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define ANSWER_MAX (256 * 1024)

struct retiring {
    struct console *console;
    struct http_request *request; /* null once the client is gone */
    struct retirement wanted, agreed;
    struct record_heads archived;
    struct retired_result result;
};

static bool read_body(struct retiring *t, struct http_request *r, struct err *err);
static bool copy_member(const json_t *body, const char *name, char *out, size_t size,
                        struct err *err);
static bool is_not_here(const struct console *c, const char *writer, struct err *err);
static void on_silence(void *arg, int64_t silent_ms, const struct err *err);
static bool agree(struct retiring *t, int64_t silent_ms, struct err *err);
static void on_fenced(void *arg, const struct err *err);
static void on_remains(void *arg, const struct retired_findings *remains, const struct err *err);
static void say(const struct retiring *t);
static void rebuild_lost(struct retiring *t);
static void on_rebuilt(void *arg, const struct rebuild_result *result, const struct err *err);
static bool has_lost(const struct retiring *t);
static void end_claims(struct retiring *t);
static void on_claims_ended(void *arg, const struct err *err);
static void answer(struct retiring *t);
static void end(struct retiring *t, const struct err *err);

void retire_post(void *server, struct http_request *r, const struct route_match *match)
{
    struct retiring *t = xcalloc(1, sizeof *t);
    struct err err;

    (void)match;
    t->console = server;
    if (!read_body(t, r, &err) || !is_not_here(t->console, t->wanted.writer, &err)) {
        reply_err(r, &err);
        free(t);
        return;
    }
    request_keep(r, &t->request);
    writer_silence_read(t->console, t->wanted.writer, on_silence, t);
}

static bool read_body(struct retiring *t, struct http_request *r, struct err *err)
{
    static const char *const members[] = {"writer", "reason", "by", NULL};
    AUTO_JSON body = json_parse(http_request_body(r), err);

    memcpy(t->wanted.installation, t->console->installation->id, sizeof t->wanted.installation);
    return body && json_only_members(body, members, "the retirement", err) &&
           copy_member(body, "writer", t->wanted.writer, sizeof t->wanted.writer, err) &&
           copy_member(body, "reason", t->wanted.reason, sizeof t->wanted.reason, err) &&
           copy_member(body, "by", t->wanted.by, sizeof t->wanted.by, err);
}

static bool copy_member(const json_t *body, const char *name, char *out, size_t size,
                        struct err *err)
{
    const char *text;

    return json_get_string(body, name, &text, "the retirement", err) &&
           (span_copy(span_of(text), out, size) ||
            err_set(err, ERR_INPUT, "'%s' is too long", name));
}

/* A directory that can be used is shipped and sealed by itself. */
static bool is_not_here(const struct console *c, const char *writer, struct err *err)
{
    AUTO_CLEAR(journal_report) here = {.count = 0};
    const struct journal_entry *entry;

    if (!journal_report_read(c->options->journal, &here, err))
        return false;
    entry = journal_report_find(&here, writer);
    return !entry || err_set(err, ERR_EXISTS, "writer %s is not lost: its directory is %s", writer,
                             entry->dir);
}

static void on_silence(void *arg, int64_t silent_ms, const struct err *err)
{
    struct retiring *t = arg;
    struct err why;

    if (err)
        end(t, err);
    else if (!agree(t, silent_ms, &why))
        end(t, &why);
    else if (!t->agreed.by[0])
        end(t, NULL);
    else
        fence_set(t->console, t->agreed.writer, on_fenced, t);
}

static bool agree(struct retiring *t, int64_t silent_ms, struct err *err)
{
    const char *archive = t->console->options->archive;

    if (!retirement_is_final(archive, t->wanted.writer) && silent_ms < LIVE_SILENT_MS)
        return err_set(err, ERR_EXISTS,
                       "writer %s lives: it was heard of %lld s ago; a writer may be retired when "
                       "it has been silent for %d s",
                       t->wanted.writer, (long long)(silent_ms / 1000), LIVE_SILENT_MS / 1000);
    return retirement_ask(archive, &t->wanted, &t->agreed, err);
}

static void on_fenced(void *arg, const struct err *err)
{
    struct retiring *t = arg;
    struct err why;

    if (err)
        end(t, err);
    else if (!archive_heads(t->console->options->archive, t->agreed.writer, &t->archived, &why))
        end(t, &why);
    else
        writer_remains_read(t->console, t->agreed.writer, &t->archived, on_remains, t);
}

static void on_remains(void *arg, const struct retired_findings *remains, const struct err *err)
{
    struct retiring *t = arg;
    struct err why;

    if (!remains) {
        end(t, err);
    } else if (!archive_retire(t->console->options->archive, &t->agreed, remains, &t->result,
                               &why)) {
        end(t, &why);
    } else {
        if (!t->result.was_done)
            say(t);
        rebuild_lost(t);
    }
}

static void say(const struct retiring *t)
{
    log_warn("writer_retired",
             "%s, by %s and %s: %s; %llu records were saved from Redis, %llu lost",
             t->agreed.writer, t->agreed.proposed_by, t->agreed.by, t->agreed.reason,
             (unsigned long long)t->result.saved, (unsigned long long)t->result.lost);
}

/* What a partition booked of a record that is in no archive must go from it; where only the other side of a record had been
 * applied, the rest is added. Who asks again may ask because that was cut off. */
static void rebuild_lost(struct retiring *t)
{
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            if (t->result.is_lost[side][i])
                rebuild_include(t->console->rebuild,
                                (struct partition){(enum partition_side)side, i});
    rebuild_start(t->console->rebuild, false, on_rebuilt, t);
}

static void on_rebuilt(void *arg, const struct rebuild_result *result, const struct err *err)
{
    struct retiring *t = arg;
    struct err why;

    (void)result;
    if (!err || !has_lost(t)) {
        if (err)
            log_error("retired_not_rebuilt", "`tollgate journal rebuild` must follow: %s",
                      err->text);
        end_claims(t);
        return;
    }
    err_set(
        &why, err->code,
        "writer %s is retired, but Redis is not brought up to its last segment: %s; after that, "
        "give the same command again",
        t->agreed.writer, err->text);
    log_error("retired_not_rebuilt", "%s", why.text);
    end(t, &why);
}

static bool has_lost(const struct retiring *t)
{
    for (int side = 0; side < SIDES; side++)
        for (unsigned i = 0; i < PARTITIONS; i++)
            if (t->result.is_lost[side][i])
                return true;
    return false;
}

/* Its last segment stands, and what partitions lacked of it was added. */
static void end_claims(struct retiring *t)
{
    struct console *c = t->console;
    struct err err;

    if (archive_heads(c->options->archive, t->agreed.writer, &t->archived, &err))
        fence_end_claims(c, t->agreed.writer, &t->archived, on_claims_ended, t);
    else
        on_claims_ended(t, &err);
}

static void on_claims_ended(void *arg, const struct err *err)
{
    struct retiring *t = arg;

    if (err)
        log_warn("retired_claims_left",
                 "idempotency keys of calls that %s left open stay taken for up to 24 hours, or "
                 "until it is retired once more after `tollgate journal rebuild`: %s",
                 t->agreed.writer, err->text);
    end(t, NULL);
}

static void end(struct retiring *t, const struct err *err)
{
    if (t->request && err)
        reply_err(t->request, err);
    else if (t->request)
        answer(t);
    free(t);
}

static void answer(struct retiring *t)
{
    AUTO_CLEAR(buf) json = {.max = ANSWER_MAX};
    AUTO_CLEAR(buf) record = {.max = RECORD_BYTES_MAX};
    struct err err;
    struct jw w;

    if (t->agreed.by[0] &&
        !archive_retire_record(t->console->options->archive, t->agreed.writer, &record, &err)) {
        reply_err(t->request, &err);
        return;
    }
    jw_init(&w, &json);
    jw_object(&w);
    jw_string_member(&w, "writer", t->agreed.writer);
    jw_string_member(&w, "state", t->agreed.by[0] ? "retired" : "proposed");
    jw_string_member(&w, "reason", t->agreed.reason);
    jw_string_member(&w, "proposed_by", t->agreed.proposed_by);
    jw_time_member(&w, "proposed_at", t->agreed.proposed_at);
    if (record.len) {
        jw_key(&w, "record");
        jw_raw(&w, buf_span(&record));
    }
    jw_object_end(&w);
    reply_built(t->request, &json);
}
