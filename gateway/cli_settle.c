/* cli_settle.c - a month is settled from the archive, by this process; the console is only asked to
 * seal and archive what is still open. */
#include "gateway/cli_settle.h"

#include <stdio.h>

#include "billing/closes.h"
#include "billing/ledger_redis.h"
#include "billing/settlement.h"
#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"
#include "gateway/installation.h"
#include "gateway/redis_settings.h"
#include "lib/base/mem.h"

#define OUTPUT_BYTES_MAX  (1 << 30)
#define REDIS_PENDING_MAX 1000
#define REDIS_WAIT_MS     5000
#define REDIS_NOTICE_MS   500
#define REDIS_POLL_MS     20
#define SEAL_ALONE_MS     3000

/* Everything that settlement_sources points to. */
struct settling {
    struct settlement_sources sources;
    struct installation installation;
    struct redis_settings redis;
    struct ledger_redis ledger;
    struct period period;
    bool redis_is_away; /* after it was asked */
};

static int run(struct cli *c,
               bool (*settle)(const struct settlement_sources *s, struct period p, const char *out,
                              struct settlement_report *report, struct err *err));
static bool read_period(struct cli *c, struct period *out);
static bool archive_all(struct cli *c, const struct settling *s, bool needs_redis);
static void name_other_hosts(struct cli *c);
static bool prepare(struct cli *c, struct settling *s, struct err *err);
static bool read_ledger(void *arg, struct period p, struct ledger_sums *out, struct err *err);
static bool wait_for_redis(const struct ledger_redis *l, int64_t most_ms);
static bool connect_redis(struct cli *c, struct settling *s, struct err *err);
static void on_redis_ready(void *arg);
static void on_redis_lost(void *arg, const struct err *err);
static void settling_clear(struct settling *s);
static void print_report(const struct cli *c, const struct settlement_report *report);
static int refuse(const struct cli *c, const struct settlement_report *report,
                  const struct err *err);

int settle_preview(struct cli *c)
{
    return run(c, settlement_preview);
}

int settle_close(struct cli *c)
{
    return run(c, settlement_close);
}

static int run(struct cli *c,
               bool (*settle)(const struct settlement_sources *s, struct period p, const char *out,
                              struct settlement_report *report, struct err *err))
{
    struct settling s = {.sources = {.archive = NULL}};
    AUTO_CLEAR(settlement_report) report = {.dir = NULL};
    int exit_code = CLI_FAILED;
    bool is_closed; /* then nothing but the archive is needed */
    struct err err;

    if (!read_period(c, &s.period))
        return CLI_USAGE;
    if (!cli_read_config(c))
        return CLI_FAILED;
    s.sources.archive = c->options.archive;
    is_closed = close_exists(c->options.archive, s.period);
    if (!is_closed && !connect_redis(c, &s, &err)) {
        cli_fail(c, "%s", err.text);
    } else if (!is_closed && !archive_all(c, &s, settle == settlement_close)) {
        exit_code = CLI_FAILED;
    } else if (!is_closed && !prepare(c, &s, &err)) {
        cli_fail(c, "%s", err.text);
    } else if (!settle(&s.sources, s.period, cli_value(c, "--out"), &report, &err)) {
        refuse(c, &report, &err);
    } else {
        print_report(c, &report);
        exit_code = CLI_DONE;
        if (!is_closed && settle == settlement_preview)
            name_other_hosts(c);
    }
    settling_clear(&s);
    return exit_code;
}

static bool read_period(struct cli *c, struct period *out)
{
    struct err err;

    if (period_parse(span_of(c->arguments[0]), out, &err))
        return true;
    cli_misused(c, "%s", err.text);
    return false;
}

/* What is written but not yet archived would be missing from the settlement. A running console does
 * that without Redis too, one that has to take up journals first does not. */
static bool archive_all(struct cli *c, const struct settling *s, bool needs_redis)
{
    const char *target = "/admin/v1/journal/seal";
    bool is_there = wait_for_redis(&s->ledger, needs_redis ? REDIS_WAIT_MS : REDIS_NOTICE_MS);
    AUTO_JSON reply = NULL;

    if (!is_there && needs_redis) {
        cli_fail(c, "Redis is away, and a close compares it with the archive: start it first");
        return false;
    }
    reply = is_there ? cli_post(c, target, NULL) : cli_post_within(c, target, SEAL_ALONE_MS);
    if (!reply && !is_there)
        fprintf(stderr, "without Redis not all that was written can be archived: start it first\n");
    return reply != NULL;
}

/* A console asks its own host's writers to seal; what the others have not archived yet a preview lacks. */
static void name_other_hosts(struct cli *c)
{
    AUTO_JSON reply = cli_get(c, "/admin/v1/journal");
    size_t others = 0, i;
    json_t *writer;

    json_array_foreach(json_object_get(reply, "data"), i, writer)
    {
        const char *where = json_string_value(json_object_get(writer, "where"));

        others += where && (strcmp(where, "elsewhere") == 0 || strcmp(where, "silent") == 0);
    }
    if (others)
        fprintf(stderr,
                "%zu writers of other hosts are in it as far as they have archived, which they do "
                "at least once an hour; preview there first, and this one has all of it\n",
                others);
}

static bool prepare(struct cli *c, struct settling *s, struct err *err)
{
    const struct options *o = &c->options;

    if (!installation_open(o->state, o->archive, o->zone, &s->installation, err))
        return false;
    s->sources = (struct settlement_sources){
        .archive = o->archive,
        .installation = s->installation.id,
        .zone = o->zone,
        .testing = o->testing,
        .key = s->installation.signing_key,
        .read_ledger = read_ledger,
        .arg = s,
    };
    return true;
}

static bool read_ledger(void *arg, struct period p, struct ledger_sums *out, struct err *err)
{
    struct settling *s = arg;

    s->redis_is_away = !wait_for_redis(&s->ledger, REDIS_WAIT_MS);
    if (s->redis_is_away)
        return err_set(err, ERR_UNAVAILABLE, "it is away");
    return ledger_redis_read(&s->ledger, p, out, err);
}

/* Says so when it takes long. */
static bool wait_for_redis(const struct ledger_redis *l, int64_t most_ms)
{
    const bool never = false;
    bool is_told = false;

    for (int64_t ms = 0; ms < most_ms && !redis_is_ready(l->redis); ms += REDIS_POLL_MS) {
        if (ms >= REDIS_NOTICE_MS && !is_told)
            fprintf(stderr, "Redis does not answer; waiting for it, at most %d s\n",
                    (int)(most_ms / 1000));
        is_told = ms >= REDIS_NOTICE_MS;
        if (loop_run_until(l->loop, &never, REDIS_POLL_MS))
            break;
    }
    return redis_is_ready(l->redis);
}

static bool connect_redis(struct cli *c, struct settling *s, struct err *err)
{
    static const struct redis_handlers handlers = {on_redis_ready, on_redis_lost};

    if (!redis_settings_read(&s->redis, &c->options, REDIS_PENDING_MAX, err))
        return false;
    s->ledger.timeout_ms = REDIS_WAIT_MS;
    s->ledger.loop = loop_new(err);
    if (!s->ledger.loop)
        return false;
    s->ledger.redis = redis_new(s->ledger.loop, &s->redis.config, &handlers, NULL, err);
    return s->ledger.redis != NULL;
}

/* The reader asks redis_is_ready() and says itself why it waits in vain. */
static void on_redis_ready(void *arg)
{
    (void)arg;
}

static void on_redis_lost(void *arg, const struct err *err)
{
    (void)arg;
    (void)err;
}

static void settling_clear(struct settling *s)
{
    redis_free(s->ledger.redis);
    loop_free(s->ledger.loop);
    redis_settings_clear(&s->redis);
    installation_clear(&s->installation);
}

static void print_report(const struct cli *c, const struct settlement_report *report)
{
    AUTO_CLEAR(buf) text = {.max = OUTPUT_BYTES_MAX};
    struct jw w;

    jw_init(&w, &text);
    if (c->json) {
        settlement_report_json(report, &w);
        buf_add_char(&text, '\n');
    } else {
        settlement_report_text(report, &text);
    }
    fwrite(text.data, 1, text.len, stdout);
}

/* A program gets the whole report, a person every reason. */
static int refuse(const struct cli *c, const struct settlement_report *report,
                  const struct err *err)
{
    if (c->json && report->reasons.count)
        print_report(c, report);
    cli_fail(c, "%s", err->text);
    for (size_t i = 1; i < report->reasons.kept; i++)
        fprintf(stderr, "  - %s\n", report->reasons.sentence[i]);
    return CLI_FAILED;
}

int settle_status(struct cli *c)
{
    struct settling s = {.sources = {.archive = NULL}};
    AUTO_CLEAR(settlement_report) report = {.dir = NULL};
    int exit_code = CLI_DONE;
    struct err err;

    if (c->argument_count && !read_period(c, &s.period))
        return CLI_USAGE;
    if (!cli_read_config(c))
        return CLI_FAILED;
    if (!connect_redis(c, &s, &err) || !prepare(c, &s, &err) ||
        !settlement_status(&s.sources, c->argument_count ? &s.period : NULL, &report, &err))
        exit_code = cli_fail(c, "%s", err.text);
    else
        print_report(c, &report);
    if (s.redis_is_away)
        exit_code = cli_fail(c, "Redis was not compared with the archive: it is away");
    settling_clear(&s);
    return exit_code;
}

int settle_export(struct cli *c)
{
    AUTO_CLEAR(settlement_report) report = {.dir = NULL};
    struct period period;
    struct err err;

    if (!cli_value(c, "--out"))
        return cli_misused(c, "needs --out DIR, where the bundle is to be written");
    if (!read_period(c, &period))
        return CLI_USAGE;
    if (!cli_read_config(c))
        return CLI_FAILED;
    if (!settlement_export(c->options.archive, period, cli_value(c, "--out"), &report, &err))
        return cli_fail(c, "%s", err.text);
    print_report(c, &report);
    return CLI_DONE;
}

/* Needs no config: a bundle is verified by whoever has it. */
int settle_verify(struct cli *c)
{
    struct settlement_proof proof = {
        .dir = c->arguments[0],
        .key_file = cli_value(c, "--key"),
        .previous = cli_value(c, "--previous"),
        .archive = cli_value(c, "--archive"),
    };
    AUTO_CLEAR(buf) text = {.max = OUTPUT_BYTES_MAX};
    struct settlement_verdict verdict;
    struct err err;
    struct jw w;

    if (!settlement_verify(&proof, &verdict, &err))
        return cli_fail(c, "%s", err.text);
    jw_init(&w, &text);
    if (c->json) {
        settlement_verdict_json(&verdict, &w);
        buf_add_char(&text, '\n');
    } else {
        settlement_verdict_text(&verdict, &text);
    }
    fwrite(text.data, 1, text.len, stdout);
    return CLI_DONE;
}
