/* model_budgets.h - what an account may spend on single models, as the projection has it. */
#ifndef TOLLGATE_BILLING_MODEL_BUDGETS_H
#define TOLLGATE_BILLING_MODEL_BUDGETS_H

#include "billing/event.h"
#include "lib/net/redis.h"

struct model_budget {
    char model[MODEL_TEXT];
    int64_t day, month; /* nanos, 0: none; one of them is there */
};
/* In the order of the models; the list is good during the callback. It comes never inside the call. */
typedef void model_budgets_on_read(void *arg, const struct model_budget *list, size_t count, const struct err *err);
void model_budgets_read(struct redis *redis, const char *account, model_budgets_on_read *on_read, void *arg);

#endif
