/* admin_socket.c - connections are few and short-lived: what is asked over them is rare. */
#include "gateway/admin_socket.h"

#include "lib/base/file.h"
#include "lib/base/mem.h"

#define IDLE_MAX       2
#define IDLE_MS        2000
#define CONNECT_MS     2000
#define ANSWER_MS      25000
#define SILENCE_MS     5000
#define HEAD_BYTES_MAX 16384

char *admin_socket_origin(const char *state)
{
    AUTO_STRING path = path_join(state, "admin.sock");

    return xasprintf("unix:%s", path);
}

struct httpc *admin_socket_open(struct loop *loop, const char *state, struct err *err)
{
    static const struct httpc_limits limits = {
        .idle_max = IDLE_MAX,
        .idle_ms = IDLE_MS,
        .connect_ms = CONNECT_MS,
        .first_byte_ms = ANSWER_MS,
        .between_bytes_ms = SILENCE_MS,
        .head = {.head_bytes_max = HEAD_BYTES_MAX, .target_bytes_max = HEAD_BYTES_MAX},
    };
    AUTO_STRING origin = admin_socket_origin(state);

    return httpc_new(loop, &(struct httpc_origin){.url = origin}, &limits, err);
}
