/* cli_journal.c - what each writer has written, and whether Redis has it. */
#include "gateway/cli_journal.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/cli_admin.h"
#include "gateway/cli_print.h"

static int print_writers(const struct cli *c, json_t *given, const struct cli_column *columns,
                         size_t count);

int journal_show(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"writer", "writer", false},    {"where", "where", false},
        {"directory", "dir", false},    {"archived", "archived", true},
        {"process", "owner_pid", true}, {"segments", "segments", true},
        {"sealed", "sealed", true},     {"unsealed records", "unsealed_records", true},
        {"damaged", "damaged", false},  {"heard at", "heard_at", false},
    };

    return print_writers(c, cli_get(c, "/admin/v1/journal"), columns, ARRAY_LEN(columns));
}

int journal_ship(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"writer", "writer", false},    {"directory", "dir", false},
        {"process", "owner_pid", true}, {"segments", "segments", true},
        {"sealed", "sealed", true},     {"unsealed records", "unsealed_records", true},
        {"damaged", "damaged", false},
    };
    int done =
        print_writers(c, cli_post(c, "/admin/v1/journal/ship", NULL), columns, ARRAY_LEN(columns));

    if (done == CLI_DONE && !c->json)
        printf("all that was written is applied in Redis\n");
    return done;
}

int journal_rebuild(struct cli *c)
{
    AUTO_JSON reply = cli_post(c,
                               cli_value(c, "--from-zero") ? "/admin/v1/journal/rebuild?from_zero=1"
                                                           : "/admin/v1/journal/rebuild",
                               NULL);
    static const struct cli_column columns[] = {
        {"partitions emptied and filled again", "emptied", true},
        {"writers replayed from the archive alone", "archived_writers", true},
    };

    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    if (!c->json)
        printf("Redis holds again all that was ever written\n");
    return CLI_DONE;
}

int journal_retire(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"writer", "writer", false},
        {"state", "state", false},
        {"reason", "reason", false},
        {"proposed by", "proposed_by", false},
        {"proposed at", "proposed_at", false},
        {"confirmed by", "record.by", false},
        {"records saved from Redis", "record.saved", true},
        {"records lost", "record.lost_records", true},
        {"lost: partition, from, to", "record.lost", false},
        {"calls without a known end", "record.open_calls", true},
        {"these calls", "record.open", false},
    };
    const char *reason = cli_value(c, "--reason"), *by = cli_value(c, "--by");
    AUTO_JSON body = NULL;
    AUTO_JSON reply = NULL;

    if (!reason)
        return cli_misused(c, "needs --reason, such as --reason \"disk of host 7 destroyed\"");
    if (!by)
        return cli_misused(c, "needs --by, the name of who asks");
    body = json_pack("{s:s, s:s, s:s}", "writer", c->arguments[0], "reason", reason, "by", by);
    reply = body ? cli_post(c, "/admin/v1/journal/retire", body) : NULL;
    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    if (!c->json && !json_object_get(reply, "record"))
        fprintf(stderr, "another person confirms it within a day, with the same command\n");
    return CLI_DONE;
}

int journal_adopt(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"writer", "writer", false},
        {"calls booked late", "calls", true},
        {"calls booked before", "known_calls", true},
        {"changes booked", "changes", true},
    };
    char *dir = realpath(c->arguments[0], NULL);
    AUTO_JSON body = NULL;
    AUTO_JSON reply = NULL;

    if (!dir)
        return cli_fail(c, "there is no directory %s", c->arguments[0]);
    body = json_pack("{s:s}", "dir", dir);
    free(dir);
    reply = body ? cli_post(c, "/admin/v1/journal/adopt", body) : NULL;
    if (!reply)
        return CLI_FAILED;
    cli_print_object(c, reply, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}

/* Takes the reply over. */
static int print_writers(const struct cli *c, json_t *given, const struct cli_column *columns,
                         size_t count)
{
    AUTO_JSON reply = given;

    if (!reply)
        return CLI_FAILED;
    cli_print_list(c, json_object_get(reply, "data"), columns, count,
                   "nothing has been written yet");
    return CLI_DONE;
}
