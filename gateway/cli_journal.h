/* cli_journal.h - the commands of the journal. */
#ifndef TOLLGATE_GATEWAY_CLI_JOURNAL_H
#define TOLLGATE_GATEWAY_CLI_JOURNAL_H

#include "gateway/cli.h"

int journal_show(struct cli *c);
int journal_ship(struct cli *c);
int journal_rebuild(struct cli *c);
int journal_retire(struct cli *c);
int journal_adopt(struct cli *c);

#endif
