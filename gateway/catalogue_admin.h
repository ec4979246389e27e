/* catalogue_admin.h - applying a catalogue, and showing what is in force. Handlers of admin.sock; the server is the struct console. */
#ifndef TOLLGATE_GATEWAY_CATALOGUE_ADMIN_H
#define TOLLGATE_GATEWAY_CATALOGUE_ADMIN_H

#include "gateway/route.h"

void catalogue_post(void *server, struct http_request *r, const struct route_match *match); /* ?dry_run=1&op=… ; the body is the file */
void creators_get(void *server, struct http_request *r, const struct route_match *match);
void models_list_get(void *server, struct http_request *r, const struct route_match *match);
void model_show_get(void *server, struct http_request *r, const struct route_match *match);

#endif
