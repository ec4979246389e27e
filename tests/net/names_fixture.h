/* names_fixture.h - for tests of names: the process that looks them up. What a lookup finds stands in a file of that name in the
 * scratch folder, so a test can change the world between two lookups. */
#ifndef TOLLGATE_TESTS_NET_NAMES_FIXTURE_H
#define TOLLGATE_TESTS_NET_NAMES_FIXTURE_H

#include "lib/net/names.h"
#include "tests/net/peer.h"

extern struct loop *loop;
extern struct addr server;  /* the process */
extern struct names *names; /* fresh for 30 ms */

void setup(void);
void teardown(void);

/* What "NAME:80" is from now on: addresses, a line each, or "hang". */
void put(const char *name, const char *text);
void take_away(const char *name); /* no such name */

void start_server(void); /* again, */
void stop_server(void);  /* after this */

#endif
