/* Commands that a helper is given, one a line: a word that is known, and as many words after it as it needs. */
#pragma once
#include "programs.h"

struct command { const char *name; int words; };

/* Which of the known commands a line is; its words are in `w`. -1: it is none, or incomplete. */
static int read_command(char *line, const struct command *known, int count, char *w[])
{
	char *name = strtok(line, " ");
	int which = 0;
	while (which < count && (!name || strcmp(name, known[which].name))) which++;
	if (which == count) return errno = EINVAL, refuse("unknown command");
	for (int i = 0; i < known[which].words; i++) if (!(w[i] = strtok(NULL, " "))) return errno = EINVAL, refuse("incomplete command");
	return which;
}
