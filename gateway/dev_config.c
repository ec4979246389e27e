/* dev_config.c - only what differs from the defaults; a command needs no more than this file to
 * find the machine. */
#include "gateway/dev_config.h"

#include <string.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"

#define BYTES_MAX     65536
#define ECHO_DELAY_MS 10 /* a word: fast, and still to be seen as a stream */

static void add(struct buf *out, const char *name, const char *value);
static void add_in(struct buf *out, const char *name, const char *dir, const char *file);
static void add_upstream(struct buf *out, const struct dev_machine *m);

bool dev_config_write(const struct dev_machine *m, struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = BYTES_MAX};
    AUTO_STRING redis = xasprintf("unix:%s", m->redis_socket);

    buf_add_string(&text,
                   "# Written by `tollgate dev` at each start: what is changed here is lost.\n");
    add(&text, "listen", m->listeners.api_address);
    add(&text, "console", m->listeners.console_address);
    add_in(&text, "certificate", m->dir, "server.pem");
    add_in(&text, "certificate_key", m->dir, "server.key");
    add(&text, "state", m->dir);
    add(&text, "redis", redis);
    buf_printf(&text, "workers = %zu\ntesting = true\nclock_offset = %lld\n"
               "webhook_private = true\n",
               m->listeners.count,
               (long long)m->state.clock_offset_ms);
    buf_printf(&text, "backend \"echo\" {\n    kind = echo\n    delay = \"%d ms\"\n}\n",
               ECHO_DELAY_MS);
    if (m->state.upstream)
        add_upstream(&text, m);
    return buf_ok(&text, m->config, err) &&
           file_write_atomic(m->config, 0600, buf_span(&text), err);
}

static void add_upstream(struct buf *out, const struct dev_machine *m)
{
    buf_add_string(out, "backend \"upstream\" {\n    kind = openai\n");
    add(out, "    url", m->state.upstream);
    if (file_exists(m->upstream_key))
        add(out, "    key_file", m->upstream_key);
    buf_add_string(out, "}\n");
}

/* A dollar sign would let libconfuse look into the environment. */
static void add(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s = \"", name);
    for (; *value; value++) {
        if (strchr("\"\\$", *value))
            buf_add_char(out, '\\');
        buf_add_char(out, *value);
    }
    buf_add_string(out, "\"\n");
}

static void add_in(struct buf *out, const char *name, const char *dir, const char *file)
{
    AUTO_STRING path = path_join(dir, file);

    add(out, name, path);
}
