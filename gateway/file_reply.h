/* file_reply.h - a file as an answer, read as fast as the client takes it. */
#ifndef TOLLGATE_GATEWAY_FILE_REPLY_H
#define TOLLGATE_GATEWAY_FILE_REPLY_H

#include "lib/net/httpd.h"

/* Answers 200 with the file's bytes, to be saved under `name`, of which no more is in memory than the connection queues; a file that
 * cannot be read to its end breaks the connection. False, with nothing answered, when it can't be opened. Only files that
 * never change may be given, since it is read while it is sent. Takes over the request (request_release()). */
bool file_reply(struct http_request *r, const char *path, const char *name, const char *type,
                struct err *err) MUST_USE;

#endif
