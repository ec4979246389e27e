/* conf_comments.h - takes comments out of a config's text before libconfuse reads it: its version 3.3 counts the line of
 * each twice or more, so that every line it states behind them would be wrong. */
#ifndef TOLLGATE_BASE_CONF_COMMENTS_H
#define TOLLGATE_BASE_CONF_COMMENTS_H

/* Comments become blanks; every line stays where it was. One that is not closed reaches to the end. */
void conf_blank_comments(char *text);

#endif
