/* script_world.c - keys and arguments as admission and projection put them, over a blocking client. */
#include "tests/billing/script_world.h"
#include "tests/billing/script_model_claim.h"

#include <assert.h>
#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/mem.h"

#define PIECES_MAX 512 /* of a batch */
#define TEXTS_MAX  32
#define KEYS_MAX   1024

enum tool { TOOL_LINES, TOOL_KEEP, TOOL_BRING_BACK, TOOL_DROP };

/* Before each program. Keys that end stand in `ends:<key>` with their time in ms, and go when they are next declared. */
static const char clock_lua[] =
    "local redis = (function(real)\n"
    "    local clock = real.call('HMGET', 'clock', 's', 'us')\n"
    "    local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)\n"
    "    local function forget(key)\n"
    "        real.call('DEL', 'ends:' .. key)\n"
    "    end\n"
    "    for _, key in ipairs(KEYS) do\n"
    "        local ends = real.call('GET', 'ends:' .. key)\n"
    "        if ends and tonumber(ends) <= now then\n"
    "            real.call('DEL', key)\n"
    "            forget(key)\n"
    "        end\n"
    "    end\n"
    "    local own = setmetatable({}, {__index = real})\n"
    "    function own.call(command, key, ...)\n"
    "        local a = {...}\n"
    "        if command == 'TIME' then\n"
    "            return {clock[1], clock[2]}\n"
    "        elseif command == 'SET' and a[2] then\n"
    "            local unit = assert(({EX = 1000, PX = 1})[a[2]], a[2])\n"
    "            assert(#a == 3)\n"
    "            real.call('SET', 'ends:' .. key, string.format('%d', now + a[3] * unit))\n"
    "            return real.call('SET', key, a[1])\n"
    "        elseif command == 'EXPIRE' or command == 'PEXPIRE' then\n"
    "            local unit = command == 'EXPIRE' and 1000 or 1\n"
    "            assert(#a == 1)\n"
    "            real.call('SET', 'ends:' .. key, string.format('%d', now + a[1] * unit))\n"
    "            return 1\n"
    "        elseif command == 'SET' or command == 'DEL' or command == 'UNLINK' then\n"
    "            forget(key)\n"
    "        end\n"
    "        return real.call(command, key, ...)\n"
    "    end\n"
    "    return own\n"
    "end)(redis)\n";

/* ARGV: "{a17}". What the model cannot know is left out: ids of streams, and a room of 0 where nothing was opened. */
static const char lines_lua[] =
    "local lines, clock = {}, redis.call('HMGET', 'clock', 's', 'us')\n"
    "local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)\n"
    "local function add(...)\n"
    "    lines[#lines + 1] = table.concat({...}, ' ')\n"
    "end\n"
    "for _, key in ipairs(redis.call('KEYS', 'tg:' .. ARGV[1] .. ':*')) do\n"
    "    local kind, ends = redis.call('TYPE', key).ok, redis.call('GET', 'ends:' .. key)\n"
    "    if ends and tonumber(ends) <= now then\n"
    "        kind = 'gone'\n"
    "    elseif kind == 'hash' then\n"
    "        local all, is_index = redis.call('HGETALL', key), string.find(key, ':index:', 1, "
    "true)\n"
    "        local is_opened = not string.find(key, ':account:', 1, true)\n"
    "            or redis.call('HEXISTS', key, 'opened') == 1\n"
    "        for i = 1, #all, 2 do\n"
    "            if is_index then\n"
    "                add(key, all[i], '=')\n"
    "            elseif is_opened or all[i] ~= 'room' or all[i + 1] ~= '0' then\n"
    "                add(key, all[i], '=', all[i + 1])\n"
    "            end\n"
    "        end\n"
    "    elseif kind == 'stream' then\n"
    "        for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do\n"
    "            add(key, '+', entry[2][2])\n"
    "        end\n"
    "    elseif kind == 'zset' then\n"
    "        local all = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')\n"
    "        for i = 1, #all, 2 do\n"
    "            add(key, all[i], '=', all[i + 1])\n"
    "        end\n"
    "    elseif kind == 'set' then\n"
    "        for _, member in ipairs(redis.call('SMEMBERS', key)) do\n"
    "            add(key, 'has', member)\n"
    "        end\n"
    "    else\n"
    "        add(key, '=', redis.call('GET', key))\n"
    "    end\n"
    "end\n"
    "return lines\n";

#define COPY_LUA                                                                                \
    "local function copy(from, to)\n"                                                           \
    "    for _, key in ipairs(redis.call('KEYS', to .. '*tg:' .. ARGV[1] .. ':*')) do\n"        \
    "        if to ~= '' or string.sub(key, 1, 5) ~= 'kept:' then redis.call('DEL', key) end\n" \
    "    end\n"                                                                                 \
    "    for _, key in ipairs(redis.call('KEYS', from .. '*tg:' .. ARGV[1] .. ':*')) do\n"      \
    "        if from ~= '' or string.sub(key, 1, 5) ~= 'kept:' then\n"                          \
    "            redis.call('COPY', key, to .. string.sub(key, #from + 1))\n"                   \
    "        end\n"                                                                             \
    "    end\n"                                                                                 \
    "end\n"
static const char keep_lua[] = COPY_LUA "copy('', 'kept:')\n";
static const char bring_back_lua[] = COPY_LUA "copy('kept:', '')\n";
static const char drop_lua[] = COPY_LUA "copy('nothing:', '')\n";

static void load(struct world *w, const char *text, char sha1[SHA1_HEX]);
static char *with_mistake(const char *text, const struct mistake *mistake);
static char *in_order(char *answer);
static int by_text(const void *a, const void *b);

void world_start(struct world *w)
{
    static const char *const tools[] = {[TOOL_LINES] = lines_lua,
                                        [TOOL_KEEP] = keep_lua,
                                        [TOOL_BRING_BACK] = bring_back_lua,
                                        [TOOL_DROP] = drop_lua};

    fixture_start(&w->redis, false);
    w->effects = effects_new();
    for (size_t i = 0; i < ARRAY_LEN(tools); i++)
        load(w, tools[i], w->tools[i]);
    world_load(w, NULL);
    world_empty(w);
}

void world_stop(struct world *w)
{
    effects_free(w->effects);
    fixture_stop(&w->redis);
}

static void load(struct world *w, const char *text, char sha1[SHA1_HEX])
{
    AUTO_STRING answer = fixture_ask(&w->redis, "SCRIPT LOAD %s", text);

    ck_assert_msg(strlen(answer) == SHA1_HEX - 1, "%s", answer);
    memcpy(sha1, answer, SHA1_HEX);
}

void world_load(struct world *w, const struct mistake *mistake)
{
    for (int s = 0; s < SCRIPT_COUNT; s++) {
        const char *text = script_get((enum script)s)->text;
        AUTO_STRING changed = with_mistake(text, mistake);
        AUTO_STRING program = xasprintf("%s%s", clock_lua, changed);
        load(w, program, w->programs[s]);
    }
}

static char *with_mistake(const char *text, const struct mistake *mistake)
{
    const char *part = mistake ? strstr(text, mistake->part) : NULL;

    if (!part)
        return xstrdup(text);
    const char *at = strstr(part, mistake->find);
    const char *end = part + strlen(mistake->part), *rest = at + strlen(mistake->find);
    ck_assert_msg(at && rest <= end, "%s: '%s' is not there", mistake->name, mistake->find);
    const char *again = strstr(rest, mistake->find);
    ck_assert_msg(!again || again >= end, "%s: '%s' is there twice", mistake->name, mistake->find);
    return xasprintf("%.*s%s%s", (int)(at - text), text, mistake->put, rest);
}

void world_empty(struct world *w)
{
    freeReplyObject(fixture_command(&w->redis, "FLUSHALL"));
}

void world_set_clock(struct world *w, int64_t now_us)
{
    freeReplyObject(fixture_command(&w->redis, "HSET clock s %lld us %lld",
                                    (long long)(now_us / 1000000), (long long)(now_us % 1000000)));
}

/* ---- what is asked ---- */

struct command {
    struct partition partition;
    struct span keys[TEXTS_MAX], args[TEXTS_MAX];
    char texts[2 * TEXTS_MAX][PARTITION_KEY];
    size_t key_count, arg_count;
};

static char *text_for(struct command *c)
{
    assert(c->key_count < TEXTS_MAX && c->arg_count < TEXTS_MAX);
    return c->texts[c->key_count + c->arg_count];
}

static void key(struct command *c, const char *what)
{
    struct span s = partition_key(c->partition, what, NULL, text_for(c));

    c->keys[c->key_count++] = s;
}

PRINTF_LIKE(3, 4)
static void key_of(struct command *c, const char *what, const char *format, ...)
{
    char rest[64];
    va_list ap;

    va_start(ap, format);
    vsnprintf(rest, sizeof rest, format, ap);
    va_end(ap);
    struct span s = partition_key(c->partition, what, rest, text_for(c));
    c->keys[c->key_count++] = s;
}

PRINTF_LIKE(2, 3)
static void arg(struct command *c, const char *format, ...)
{
    char *text = text_for(c);
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, PARTITION_KEY, format, ap);
    va_end(ap);
    c->args[c->arg_count++] = span_of(text);
}

static const char *installation(bool is_stranger)
{
    return is_stranger ? "inst-2" : INSTALLATION;
}

static char *ask_script(struct world *w, enum script s, const struct command *c)
{
    return fixture_evalsha(&w->redis, w->programs[s], c->keys, c->key_count, c->args, c->arg_count);
}

char *world_apply(struct world *w, struct partition p, const struct apply_ask *ask)
{
    enum script s = p.side == SIDE_ACCOUNT ? SCRIPT_APPLY_ACCOUNT : SCRIPT_APPLY_MODEL;
    struct span spans[PIECES_MAX];
    AUTO_CLEAR(batch) b;

    batch_init(&b);
    batch_start(&b, p, installation(ask->is_stranger), writer_texts[ask->writer],
                ask->is_archived ? FROM_ARCHIVE : FROM_JOURNAL);
    for (size_t i = 0; i < ask->count; i++) {
        struct span line = span_of(ask->facts[i]->line);
        struct record_head head;
        ck_assert(record_head_parse(line, &head, NULL));
        effects_read(w->effects, &head, line, ask->facts[i]->crc,
                     ask->facts[i]->is_past ? INT64_MAX : 0);
        effects_add(w->effects, &b);
    }
    ck_assert_uint_le(b.keys.count + b.args.count, PIECES_MAX);
    for (size_t i = 0; i < b.keys.count + b.args.count; i++) {
        const struct piece *piece =
            i < b.keys.count ? &b.keys.piece[i] : &b.args.piece[i - b.keys.count];
        spans[i] = (struct span){b.bytes.data + piece->start, piece->len};
    }
    return fixture_evalsha(&w->redis, w->programs[s], spans, b.keys.count, spans + b.keys.count,
                           b.args.count);
}

char *world_admit(struct world *w, struct partition p, const struct admit_ask *ask)
{
    struct command c = {.partition = p};

    key(&c, "state");
    key_of(&c, "key", KEY_FMT, ask->key);
    key_of(&c, "account", ACCOUNT_FMT, ask->account);
    key_of(&c, "holds", ACCOUNT_FMT, ask->account);
    key_of(&c, "index", ACCOUNT_FMT, ask->account);
    key(&c, "held");
    key_of(&c, "released", REQUEST_FMT, ask->request);
    key_of(&c, "rate", ACCOUNT_FMT, ask->account);
    key_of(&c, "rate:key", KEY_FMT, first_key_of(ask->key));
    key_of(&c, "spent", ACCOUNT_FMT ":%s:%s", ask->account, ask->day,
           currency_texts[ask->currency]);
    key_of(&c, "spent", ACCOUNT_FMT ":%.7s:%s", ask->account, ask->day,
           currency_texts[ask->currency]);
    arg(&c, "%s", installation(ask->is_stranger));
    arg(&c, RUN_FMT, ask->run);
    arg(&c, ACCOUNT_FMT, ask->account);
    arg(&c, REQUEST_FMT, ask->request);
    arg(&c, "%s", writer_texts[ask->writer]);
    arg(&c, "%" PRId64, ask->amount);
    if (ask->now_nanos)
        arg(&c, "%" PRId64, ask->now_nanos);
    else
        arg(&c, "%s", "");
    arg(&c, "%s", currency_texts[ask->currency]);
    arg(&c, "%" PRId64, ask->tokens);
    arg(&c, "%s", access_text(ask->knows_scopes, ask->knows_models));
    arg(&c, "%s", ask->day);
    arg(&c, MODEL_FMT, model_of(ask->request));
    arg(&c, "%s", zone_texts[ask->zone]);
    if (ask->has_idem) {
        key_of(&c, "idem", ACCOUNT_FMT ":" DIGEST_FMT, ask->account, ask->idem);
        key(&c, "live");
        arg(&c, DIGEST_FMT, ask->body);
        arg(&c, "%" PRId64, ask->ends_ms);
        arg(&c, "%u", ask->turn);
    }
    if (ask->has_idem && ask->has_other_name) {
        key_of(&c, "idem", ACCOUNT_FMT ":" DIGEST_FMT, ask->account, OTHER_NAME(ask->idem));
        arg(&c, DIGEST_FMT, ask->body);
    }
    return ask_script(w, SCRIPT_ADMIT, &c);
}

char *world_hold(struct world *w, struct partition p, const struct hold_ask *ask)
{
    struct command c = {.partition = p};

    key(&c, "state");
    key_of(&c, "account", ACCOUNT_FMT, ask->account);
    key_of(&c, "holds", ACCOUNT_FMT, ask->account);
    key_of(&c, "index", ACCOUNT_FMT, ask->account);
    key(&c, "held");
    key_of(&c, "rate", ACCOUNT_FMT, ask->account);
    arg(&c, "%s", installation(ask->is_stranger));
    arg(&c, "%d", PARTITIONS);
    arg(&c, ACCOUNT_FMT, ask->account);
    arg(&c, "%s", writer_texts[ask->writer]);
    arg(&c, "%s", verb_texts[ask->verb]);
    for (size_t i = 0; i < ask->count; i++) {
        key_of(&c, "released", REQUEST_FMT, ask->entries[i].request);
        key_of(&c, "rate:key", KEY_FMT, first_key_of(ask->key));
        arg(&c, REQUEST_FMT, ask->entries[i].request);
        arg(&c, "%" PRId64, ask->entries[i].amount);
        arg(&c, " %s " KEY_FMT " " MODEL_FMT, ask->day, first_key_of(ask->key),
            model_of(ask->entries[i].request));
    }
    return ask_script(w, SCRIPT_HOLD, &c);
}

char *world_recovered(struct world *w, struct partition p, const struct recovered_ask *ask)
{
    struct command c = {.partition = p};

    key(&c, "state");
    key(&c, "live");
    key(&c, "cursors");
    arg(&c, "%s", installation(ask->is_stranger));
    arg(&c, "%d", PARTITIONS);
    arg(&c, "%s", writer_texts[ask->writer]);
    arg(&c, RUN_FMT, ask->run);
    arg(&c, "%" PRIu64, ask->n);
    arg(&c, "%u", ask->turn);
    arg(&c, "%s", ask->is_new ? "new" : "old");
    arg(&c, "%s", ask->is_coming ? "coming" : "back");
    arg(&c, "t%u", ask->token);
    arg(&c, "%s", ask->is_again ? "again" : "first");
    return ask_script(w, SCRIPT_RECOVERED, &c);
}

char *world_retired(struct world *w, struct partition p, const struct retired_ask *ask)
{
    struct command c = {.partition = p};

    key(&c, "state");
    key(&c, "live");
    key(&c, "cursors");
    arg(&c, "%s", installation(ask->is_stranger));
    arg(&c, "%d", PARTITIONS);
    arg(&c, "%s", ask->is_over ? "over" : "fence");
    arg(&c, "%s", writer_texts[ask->writer]);
    if (ask->is_over)
        arg(&c, "%" PRIu64, ask->n);
    return ask_script(w, SCRIPT_RETIRED, &c);
}

char *world_answer(struct world *w, struct partition p, const struct answer_ask *ask,
                   int64_t now_us)
{
    struct command c = {.partition = p};
    int64_t left = ask->ends_ms - now_us / 1000;

    key(&c, "state");
    key_of(&c, "idem", ACCOUNT_FMT ":" DIGEST_FMT, ask->account, ask->idem);
    key_of(&c, "answer", REQUEST_FMT, ask->request);
    key_of(&c, "index", ACCOUNT_FMT, ask->account);
    key_of(&c, "released", REQUEST_FMT, ask->request);
    key_of(&c, "stored", ACCOUNT_FMT, ask->account);
    if (ask->verb == OPEN && ask->has_other_name)
        key_of(&c, "idem", ACCOUNT_FMT ":" DIGEST_FMT, ask->account, OTHER_NAME(ask->idem));
    arg(&c, "%s", installation(ask->is_stranger));
    arg(&c, "%d", PARTITIONS);
    arg(&c, "%s", answer_texts[ask->verb]);
    arg(&c, REQUEST_FMT, ask->request);
    arg(&c, DIGEST_FMT, ask->body);
    arg(&c, "%" PRId64, ask->ends_ms);
    arg(&c, "%" PRId64, left > 0 ? left : 0);
    arg(&c, "%s", writer_texts[ask->writer]);
    arg(&c, "%u", ask->turn);
    arg(&c, "%s", ask->is_stored ? STORED : "");
    arg(&c, "%d", STORED_MOST);
    return ask_script(w, SCRIPT_ANSWER, &c);
}

/* What may go is all keys of the partition but those that the script keeps. */
char *world_rebuild(struct world *w, struct partition p, const struct rebuild_ask *ask)
{
    static const char *const first[] = {"state", "live", "cursors", "before"};
    char name[PARTITION_NAME], texts[ARRAY_LEN(first)][PARTITION_KEY];
    const struct span args[] = {span_of(installation(ask->is_stranger)), SPAN("64"),
                                span_of(rebuild_texts[ask->verb]), SPAN(REBUILD_REASON)};
    struct span keys[KEYS_MAX];
    redisReply *all = fixture_command(&w->redis, "KEYS tg:{%s}:*", partition_name(p, name));
    size_t n;

    ck_assert_uint_le(all->elements + ARRAY_LEN(first), KEYS_MAX);
    for (n = 0; n < ARRAY_LEN(first); n++)
        keys[n] = partition_key(p, first[n], NULL, texts[n]);
    for (size_t i = 0; i < all->elements && ask->verb == DELETE; i++) {
        struct span key = {all->element[i]->str, all->element[i]->len};
        if (!span_equal(key, keys[0]) && !span_equal(key, keys[1]) && !span_equal(key, keys[3]))
            keys[n++] = key;
    }
    char *answer = fixture_evalsha(&w->redis, w->programs[SCRIPT_REBUILD], keys, n, args, 4);
    freeReplyObject(all);
    return answer;
}

char *world_grants(struct world *w, struct partition p, const struct grants_ask *ask)
{
    struct command c = {.partition = p};

    key(&c, "state");
    key_of(&c, "account", ACCOUNT_FMT, ask->account);
    key_of(&c, "grants", ACCOUNT_FMT, ask->account);
    arg(&c, "%s", ask->is_look ? "look" : "expire");
    if (!ask->is_look) {
        arg(&c, "%s", installation(ask->is_stranger));
        arg(&c, RUN_FMT, ask->run);
        arg(&c, "%s", writer_texts[ask->writer]);
        arg(&c, "op%u", ask->op);
        arg(&c, "%" PRId64, ask->now_nanos);
    }
    return ask_script(w, SCRIPT_GRANTS, &c);
}

char *world_sweep(struct world *w, struct partition p, const struct sweep_ask *ask)
{
    struct command c = {.partition = p};

    key(&c, "state");
    key_of(&c, "account", ACCOUNT_FMT, ask->account);
    key_of(&c, "holds", ACCOUNT_FMT, ask->account);
    key_of(&c, "looks", ACCOUNT_FMT, ask->account);
    key(&c, "held");
    key(&c, "swept");
    arg(&c, "%s", installation(ask->is_stranger));
    arg(&c, RUN_FMT, ask->run);
    arg(&c, ACCOUNT_FMT, ask->account);
    arg(&c, "%d", LOOK_MS);
    AUTO_STRING answer = ask_script(w, SCRIPT_SWEEP, &c);
    return in_order(answer);
}

/* Removed holds in the order of their requests: Redis lists a hash in none. */
static char *in_order(char *answer)
{
    char *entries[REQUESTS], *at = answer;
    size_t n = 0;
    AUTO_CLEAR(buf) out;

    while ((at = strstr(at, " req_"))) {
        *at++ = '\0';
        ck_assert_uint_lt(n, REQUESTS);
        entries[n++] = at;
    }
    if (n)
        qsort(entries, n, sizeof *entries, by_text);
    buf_init(&out, 64 * 1024);
    buf_add_string(&out, answer);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, " %s", entries[i]);
    return xstrdup(out.data);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- the partition as a whole ---- */

void world_die_midway(struct world *w, struct partition p, const char *record)
{
    char state[PARTITION_KEY];

    partition_key(p, "state", NULL, state);
    freeReplyObject(fixture_command(&w->redis, "HSET %s applying %s", state, record));
}

static redisReply *use_tool(struct world *w, enum tool tool, struct partition p)
{
    char name[PARTITION_NAME];

    return fixture_command(&w->redis, "EVALSHA %s 0 {%s}", w->tools[tool], partition_name(p, name));
}

void world_lines(struct world *w, struct partition p, struct buf *out)
{
    redisReply *lines = use_tool(w, TOOL_LINES, p);

    for (size_t i = 0; i < lines->elements; i++)
        buf_printf(out, "%s\n", lines->element[i]->str);
    freeReplyObject(lines);
}

void world_keep(struct world *w, struct partition p)
{
    freeReplyObject(use_tool(w, TOOL_KEEP, p));
}

void world_bring_back(struct world *w, struct partition p)
{
    freeReplyObject(use_tool(w, TOOL_BRING_BACK, p));
}

void world_drop(struct world *w, struct partition p)
{
    freeReplyObject(use_tool(w, TOOL_DROP, p));
}
