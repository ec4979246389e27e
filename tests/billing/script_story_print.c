/* script_story_print.c - a story as people read it. */
#include <inttypes.h>

#include "tests/billing/script_story.h"

static void print_op(const struct op *op, struct buf *out)
{
    static const char *const names[OP_KINDS] = {
        [OP_WRITE] = "write",     [OP_APPLY] = "apply",       [OP_FORGE] = "forge",
        [OP_ADMIT] = "admit",     [OP_HOLD] = "hold",         [OP_RECOVERED] = "recovered",
        [OP_SWEEP] = "sweep",     [OP_TICK] = "tick",         [OP_KEEP] = "keep",
        [OP_LOSE] = "lose",       [OP_LOSE_ALL] = "lose all", [OP_DIE] = "die",
        [OP_BACK] = "all back",   [OP_ANSWER] = "answer",     [OP_TAKE_UP] = "take up",
        [OP_REBUILD] = "rebuild", [OP_RETIRE] = "retire",     [OP_GRANTS] = "grants",
    };
    char place[PARTITION_NAME];

    buf_add_string(out, names[op->kind]);
    if (op->kind == OP_WRITE) {
        buf_printf(out, " %s %s ", writer_texts[op->fact.writer], record_kind_name(op->fact.kind));
        fact_body(&op->fact, out);
    } else if (op->kind == OP_TICK) {
        buf_printf(out, " %" PRId64 " ms", op->ms);
    } else {
        buf_printf(out,
                   " %s %s count %zu shift %d " REQUEST_FMT " key %u %s amount %" PRId64
                   " tokens %" PRId64,
                   partition_name(places[op->place], place), writer_texts[op->writer], op->count,
                   op->shift, op->request, op->key, verb_texts[op->verb], op->amount, op->tokens);
        buf_printf(out, " %s now %" PRId64 "%s%s", currency_texts[op->currency], op->now_nanos,
                   op->is_stranger ? " stranger" : "", op->is_under_old_run ? " old run" : "");
        buf_printf(out, " zone %u%s", op->zone, op->is_look ? " look" : "");
        buf_printf(out, "%s%s%s %s %s%s key %u body %u age %" PRId64,
                   op->is_old ? " old writer" : "", op->is_archived ? " archived" : "",
                   op->is_over     ? " over"
                   : op->is_coming ? " coming"
                                   : "",
                   answer_texts[op->answer], rebuild_texts[op->rebuild],
                   op->has_other_name ? " idempotent by two names"
                   : op->has_idem     ? " idempotent"
                                      : "",
                   op->idem, op->body, op->age_ms);
    }
    buf_add_char(out, '\n');
}

void story_print(const struct story *s, struct buf *out)
{
    for (size_t i = 0; i < s->count; i++) {
        buf_printf(out, "%4zu ", i);
        print_op(&s->ops[i], out);
    }
}
