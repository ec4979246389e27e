/* scripts.c - puts the scripts together. Lua in Redis has no include, so a program is its parts in order: the
 * arithmetic of decimals comes first in each, and both apply scripts share their walk over a batch and the refunds. */
#include "billing/scripts.h"

#include "lib/base/mem.h"

#define PARTS_MAX 10

struct program {
    const char *name;
    const char *parts[PARTS_MAX];
};

static void put_together(const struct program *program, struct redis_script *script);

static const struct program programs[SCRIPT_COUNT] = {
    [SCRIPT_APPLY_ACCOUNT] = {"apply_account",
                              {script_decimal, script_rate, script_claim, script_apply,
                               script_refund, script_spent, script_terms, script_grant,
                               script_funds, script_apply_account}},
    [SCRIPT_APPLY_MODEL] = {"apply_model",
                            {script_decimal, script_apply, script_refund, script_apply_model}},
    [SCRIPT_ADMIT] = {"admit", {script_decimal, script_rate, script_claim, script_budget, script_admit}},
    [SCRIPT_HOLD] = {"hold", {script_decimal, script_rate, script_hold}},
    [SCRIPT_ANSWER] = {"answer", {script_decimal, script_claim, script_answer}},
    [SCRIPT_RECOVERED] = {"recovered", {script_decimal, script_recovered}},
    [SCRIPT_SWEEP] = {"sweep", {script_decimal, script_sweep}},
    [SCRIPT_GRANTS] = {"grants", {script_decimal, script_grant, script_grants}},
    [SCRIPT_TRIM] = {"trim", {script_decimal, script_trim}},
    [SCRIPT_REBUILD] = {"rebuild", {script_decimal, script_rebuild}},
    [SCRIPT_RETIRED] = {"retired", {script_decimal, script_retired}},
};

const struct redis_script *script_get(enum script s)
{
    static struct redis_script scripts[SCRIPT_COUNT];

    if (!scripts[s].text)
        put_together(&programs[s], &scripts[s]);
    return &scripts[s];
}

/* The text lives as long as the process. */
static void put_together(const struct program *program, struct redis_script *script)
{
    size_t n = 1;

    for (size_t i = 0; i < PARTS_MAX && program->parts[i]; i++)
        n += strlen(program->parts[i]);
    char *text = xcalloc(n, 1), *end = text;
    for (size_t i = 0; i < PARTS_MAX && program->parts[i]; i++) {
        size_t part = strlen(program->parts[i]);
        memcpy(end, program->parts[i], part);
        end += part;
    }
    script->name = program->name;
    script->text = text;
    redis_script_init(script);
}
