/* key_mover.h - has keys that were hashed under the previous pepper hashed under the one in use: whoever was shown the
 * secret tells the console, on admin.sock, and that writes the record. Nothing is owed: a key that is not moved now is
 * good all the same, and is told of again when it is read again. */
#ifndef TOLLGATE_GATEWAY_KEY_MOVER_H
#define TOLLGATE_GATEWAY_KEY_MOVER_H

#include "lib/base/crypto.h"
#include "lib/net/loop.h"

struct key_mover;
/* The console that listens in `state`, whenever it does. */
struct key_mover *key_mover_new(struct loop *loop, const char *state, const char *pepper_id,
                                struct err *err) MUST_USE;
/* Before the loop ends. */
void key_mover_free(struct key_mover *m);
DEFINE_AUTO(key_mover)
/* `hash` is the secret's, under the pepper in use. Some keys at a time; what comes while these are under way is let go. */
void key_mover_move(struct key_mover *m, const char *public_id,
                    const unsigned char hash[SHA256_LEN]);

#endif
