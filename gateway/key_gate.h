/* key_gate.h - whether a good key may be used so: for that kind of call, from there, for that model. */
#ifndef TOLLGATE_GATEWAY_KEY_GATE_H
#define TOLLGATE_GATEWAY_KEY_GATE_H

#include "gateway/keyring.h"
#include "gateway/problem.h"

struct gate_refusal {
    enum problem problem;
    char text[ERR_TEXT_MAX];
};
/* The request is asked for its client's address only when the key names places. */
bool gate_lets_in(const struct key_holder *holder, enum scope scope, const struct http_request *r, struct gate_refusal *why) MUST_USE;
bool gate_lets_call(const struct key_holder *holder, const char *model, struct gate_refusal *why) MUST_USE;
/* What is wrong with a key that is not KEY_GOOD. */
enum problem gate_problem_of_verdict(enum key_verdict verdict);

#endif
