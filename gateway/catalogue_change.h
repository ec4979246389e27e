/* catalogue_change.h - what one change of a catalogue does, for people: an object that is added, one that becomes
 * another, or a version that supersedes another one, member by member. */
#ifndef TOLLGATE_GATEWAY_CATALOGUE_CHANGE_H
#define TOLLGATE_GATEWAY_CATALOGUE_CHANGE_H

#include "gateway/catalogue.h"

/* {"object","id","revision","change": add|change|supersede, "supersedes": the version before it, "from": of a version,
 * "members":[{"name","before","after"}]}: texts; of what was added there is no "before", of what is gone no "after". */
void catalogue_change_write(const struct catalogue_change *change, struct jw *w);

#endif
