/* cli_check.c - the config as it is understood, or what is wrong with it. */
#include "gateway/cli_check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli_print.h"
#include "gateway/installation.h"
#include "gateway/privileges.h"

#define REFERENCE_BYTES_MAX (1 << 20)

static int print_reference(void);
static bool is_one_installation(const struct cli *c, struct buf *problems);
static json_t *describe(const struct cli *c);
static int print_problems(const struct cli *c, struct span problems);

int check(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"API", "listen", false},
        {"console", "console", false},
        {"certificate", "certificate", false},
        {"its key", "certificate_key", false},
        {"state", "state", false},
        {"journal", "journal", false},
        {"archive", "archive", false},
        {"Redis", "redis", false},
        {"zone", "zone", false},
        {"workers", "workers", false},
        {"backends", "backends", false},
        {"testing", "testing", false},
    };
    AUTO_CLEAR(buf) problems = {.max = REFERENCE_BYTES_MAX};
    AUTO_JSON found = NULL;

    if (cli_value(c, "--print-defaults"))
        return print_reference();
    if (!c->json && !cli_has_config(c))
        return CLI_FAILED;
    if (!options_load(c->config, &c->options, &problems))
        return print_problems(c, buf_span(&problems));
    if (!is_one_installation(c, &problems))
        return print_problems(c, buf_span(&problems));
    found = describe(c);
    if (!c->json)
        printf("%s is valid\n", c->config);
    cli_print_object(c, found, columns, ARRAY_LEN(columns));
    return CLI_DONE;
}

static int print_reference(void)
{
    AUTO_CLEAR(buf) text = {.max = REFERENCE_BYTES_MAX};

    conf_print_reference(&options_table, &text);
    fwrite(text.data, 1, text.len, stdout);
    return CLI_DONE;
}

/* State and archive of one installation, and the secrets that stand there, read as the server does. What only the server's
 * user may read is no mistake of who asks without being root. */
static bool is_one_installation(const struct cli *c, struct buf *problems)
{
    const struct options *o = &c->options;
    struct err err;
    bool is_good;

    if (!privileges_enter(o->user, &err)) {
        buf_printf(problems, "%s: %s\n", c->config, err.text);
        return false;
    }
    is_good = installation_check(o->state, o->archive, o->zone, &err) ||
              (err.sys == EACCES && getuid() != 0);
    privileges_leave();
    if (!is_good)
        buf_printf(problems, "%s: %s\n", c->config, err.text);
    return is_good;
}

/* What stands in the file and what follows from it, as it is used. */
static json_t *describe(const struct cli *c)
{
    const struct options *o = &c->options;
    AUTO_CLEAR(buf) backends = {.max = REFERENCE_BYTES_MAX};

    for (size_t i = 0; i < o->backend_count; i++)
        buf_printf(&backends, "%s%s (%s)", i ? ", " : "", o->backends[i].title,
                   o->backends[i].kind);
    return json_pack("{s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:b}",
                     "valid", 1, "config", c->config, "listen", o->listen, "console",
                     o->console_listen, "certificate", o->certificate, "certificate_key",
                     o->certificate_key, "state", o->state, "journal", o->journal, "archive",
                     o->archive, "redis", o->redis, "zone", o->zone, "workers",
                     (json_int_t)o->workers, "backends", backends.data ? backends.data : "none",
                     "testing", (int)o->testing);
}

static int print_problems(const struct cli *c, struct span problems)
{
    AUTO_JSON found = json_pack("{s:b, s:s, s:[]}", "valid", 0, "config", c->config, "problems");
    json_t *list = json_object_get(found, "problems");

    if (!c->json) {
        fprintf(stderr, "%.*s", SPAN_FMT(problems));
        return CLI_FAILED;
    }
    while (problems.len > 0) {
        const char *end = memchr(problems.data, '\n', problems.len);
        size_t n = end ? (size_t)(end - problems.data) : problems.len;

        json_array_append_new(list, json_stringn_nocheck(problems.data, n));
        n += end != NULL;
        problems = (struct span){problems.data + n, problems.len - n};
    }
    cli_print_json(found);
    return CLI_FAILED;
}
