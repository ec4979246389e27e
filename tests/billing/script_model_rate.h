/* script_model_rate.h - the rates of billing/scripts/README.md in the model: what of a limit is booked, what a call would
 * add, and what goes back. All in integers: n cells of N a minute take n minutes / N, rounded up to a microsecond. */
#ifndef TOLLGATE_TESTS_SCRIPT_MODEL_RATE_H
#define TOLLGATE_TESTS_SCRIPT_MODEL_RATE_H

#include "tests/billing/script_model.h"

#define BOOKINGS_MAX 4 /* requests and tokens, of the account and of the key */

struct booking {
    enum scope scope;
    bool is_of_tokens, fits;
    int64_t limit, burst, ahead, cost;
};

struct bookings {
    struct booking list[BOOKINGS_MAX];
    size_t count;
};

/* What the call of that account and key would book now. */
void rates_weigh(const struct model *m, const struct admit_ask *ask, int64_t now_us,
                 struct bookings *out);
/* The limit that is in the way longest; null: none. */
const struct booking *rates_late(const struct bookings *all);
/* What answers say of rates: of requests and of tokens the limit with the fewest left; then of the one in the way. */
void rates_tell(const struct bookings *all, const struct booking *late, struct buf *answer);
void rates_book(struct model *m, const struct admit_ask *ask, struct bookings *all, int64_t now_us,
                struct model_hold *hold);
/* What a call that used so many tokens leaves of what its hold booked. */
void rates_give_back(struct model *m, const struct model_hold *hold, unsigned account, unsigned key,
                     int64_t used, int64_t now_us);
bool rate_is_kept(const struct model_rate *r, int64_t now_us);

#endif
