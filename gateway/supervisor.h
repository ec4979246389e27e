/* supervisor.h - tells systemd, or whoever set $NOTIFY_SOCKET, how the server is (sd_notify(3)). */
#ifndef TOLLGATE_GATEWAY_SUPERVISOR_H
#define TOLLGATE_GATEWAY_SUPERVISOR_H

/* "READY=1", "STOPPING=1"; lines. Nothing where nobody listens. */
void supervisor_tell(const char *state);
/* That the config is being read again; "READY=1" ends it. */
void supervisor_tell_reloading(void);

#endif
