// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/proc_text.h"

#include <stdio.h>
#include <string.h>

#include "base/tame.h"

#define KTHREAD_FLAG 0x00200000 /* PF_KTHREAD */

/* "pid (comm) state ppid ... flags(9) ... starttime(22)"; comm may hold blanks and parentheses. */
bool proc_text__stat(char *text, struct process *p)
{
	char *open = strchr(text, '('), *close = strrchr(text, ')'), state;
	unsigned long long start;
	unsigned int flags;
	int ppid;

	if (!open || !close || close < open)
		return false;
	if (sscanf(close + 1, " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
	           &ppid, &flags, &start) != 4)
		return false;
	*close = '\0';
	snprintf(p->comm, sizeof(p->comm), "%s", open + 1);
	tame_line(p->comm); /* it is whatever the process chose */
	p->ppid = ppid;
	p->start_ticks = start;
	p->kthread = flags & KTHREAD_FLAG;
	return state != 'Z' && state != 'X';
}

/* Lines are "hierarchy:controllers:path"; the unified hierarchy is 0 and has no controllers. */
void proc_text__cgroup(char *text, struct process *p)
{
	char *line, *rest;

	for (line = text; line && *line; line = rest) {
		char *controllers, *path;

		rest = strchr(line, '\n');
		if (rest)
			*rest++ = '\0';
		controllers = strchr(line, ':');
		path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		controllers++;
		if (!p->cgroup2 && !*controllers)
			p->cgroup2 = strdup(path);
		else if (!p->systemd && !strcmp(controllers, "name=systemd"))
			p->systemd = strdup(path);
	}
}

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* "id parent major:minor root mount-point options [optional...] - type source options" */
bool proc_text__cgroup2_mount(char *line, char **root, char **mount)
{
	char *fields[5], *rest = line, *type = strstr(line, " - ");

	if (!type || strncmp(type + 3, "cgroup2 ", 8))
		return false;
	for (size_t i = 0; i < 5; i++) {
		fields[i] = strsep(&rest, " ");
		if (!rest)
			return false;
	}
	unescape(fields[3]);
	unescape(fields[4]);
	*root = fields[3];
	*mount = fields[4];
	return true;
}
