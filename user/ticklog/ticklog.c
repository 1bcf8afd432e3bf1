// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ticklog/ticklog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ticklog/encode.h"
#include "ticklog/judged.h"

struct ticklog {
	char *file;
	int fd;
	bool made; /* by us */
	off_t written;
	uint32_t check;
	size_t n_endpoints;
	struct log_text line;
	struct tick_record tick;
	enum verdict_kind kind;
	bool ended;
	struct ticklog_state state;
	char why[256];
};

/* --- the file -------------------------------------------------------------------------------------------------- */

static int refuse(const struct ticklog *log, int err, struct err *e)
{
	const char *why = strerror(err);

	if (err == EEXIST)
		why = "it holds something, and nothing is appended to it or written over it: name another file";
	if (err == EISDIR)
		why = "it is a directory: name a file in it";
	if (err == ESPIPE || err == ENXIO)
		why = "it is not a file";
	if (err == EWOULDBLOCK)
		why = "another run writes its tick log there";
	return err_set(e, err, "cannot write a tick log to %.200s: %s", log->file, why);
}

/* 0 or an errno. The reader of a pipe may come and go. */
static int check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return errno;
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || S_ISBLK(st.st_mode))
		return ESPIPE;
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno;
	/* Looked at again under the lock. */
	if (fstat(fd, &st))
		return errno;
	return st.st_size ? EEXIST : 0;
}

static int open_file(struct ticklog *log, struct err *e)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int err;

	log->fd = open(log->file, flags | O_CREAT | O_EXCL, 0644);
	log->made = log->fd >= 0;
	if (log->fd < 0 && errno == EEXIST)
		log->fd = open(log->file, flags);
	if (log->fd < 0)
		return refuse(log, errno, e);
	err = check_file(log->fd);
	return err ? refuse(log, err, e) : 0;
}

struct ticklog *ticklog__new(const char *file, struct err *e)
{
	struct ticklog *log = calloc(1, sizeof(*log));

	if (log)
		log->file = strdup(file);
	if (!log || !log->file) {
		free(log);
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	log->fd = -1;
	log->state.file = log->file;
	log->kind = VERDICT_HOLD;
	if (open_file(log, e)) {
		/* Only what is ours may go with it. */
		ticklog__free(log);
		return NULL;
	}
	return log;
}

void ticklog__free(struct ticklog *log)
{
	if (!log)
		return;
	if (log->made && !log->written)
		unlink(log->file);
	if (log->fd >= 0)
		close(log->fd);
	tick_record__free(&log->tick);
	free(log->line.s);
	free(log->file);
	free(log);
}

/* --- lines ----------------------------------------------------------------------------------------------------- */

static int write_all(int fd, const char *s, size_t len)
{
	while (len) {
		ssize_t n = write(fd, s, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		s += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Half a line at the end would be one more thing to explain. */
static int put_record(struct ticklog *log, const struct log_record *r)
{
	int err = log_text__record(&log->line, r, &log->check);

	if (!err)
		err = write_all(log->fd, log->line.s, log->line.len);
	if (!err)
		log->written += (off_t)log->line.len;
	else if (ftruncate(log->fd, log->written))
		log_debug("the last line of %s is cut off: %s", log->file, strerror(errno));
	return err;
}

static void stop(struct ticklog *log, int err)
{
	snprintf(log->why, sizeof(log->why), "the tick log %.120s stops after %" PRIu64 " ticks: %s", log->file,
	         log->state.ticks, err == -EINVAL ? "a figure that is no number" : strerror(-err));
	log->state.stopped = log->why;
	log_warn("%s; the run goes on", log->why);
}

static bool runs(const struct ticklog *log)
{
	return log && !log->state.stopped && !log->ended;
}

static bool put_or_stop(struct ticklog *log, const struct log_record *r)
{
	int err = put_record(log, r);

	if (err)
		stop(log, err);
	return !err;
}

int ticklog__start(struct ticklog *log, const struct log_header *header, struct err *e)
{
	struct log_record r = { .kind = LOG_HEADER, .header = *header };
	int err = put_record(log, &r);

	return err ? refuse(log, -err, e) : 0;
}

int ticklog__add_cutover(struct ticklog *log, struct judge *j, const struct judge_cutover *c)
{
	struct log_record r = { .kind = LOG_CUTOVER };
	int index = judge__add_cutover(j, c);

	if (index < 0 || !runs(log))
		return index;
	r.cutover = (struct log_cutover){ (size_t)index, *c };
	put_or_stop(log, &r);
	return index;
}

int ticklog__add_endpoint(struct ticklog *log, struct judge *j, const struct judge_endpoint *ep,
                          const struct tw_rule *bad)
{
	struct log_record r = { .kind = LOG_ENDPOINT };
	int index = judge__add_endpoint(j, ep);

	if (index < 0 || !runs(log))
		return index;
	r.endpoint = (struct log_endpoint){ (size_t)index, *ep, *bad };
	put_or_stop(log, &r);
	return index;
}

int ticklog__tick(struct ticklog *log, struct judge *j, const struct tick *t, size_t n_endpoints)
{
	struct log_record r = { .kind = LOG_TICK };
	bool logged = runs(log);
	struct verdict v;
	int err, no_memory = 0;

	/* What was announced for this tick is not known any more once the judge has it. */
	if (logged)
		no_memory = tick_record__fill(&log->tick, j, t, n_endpoints);
	err = judge__tick(j, t, n_endpoints);
	if (!logged)
		return err;
	if (no_memory) {
		stop(log, no_memory);
		return err;
	}
	r.tick = log->tick.tick;
	r.tick.number = log->state.ticks + 1;
	if (!err) {
		judge__verdict(j, &v);
		r.tick.verdict = (struct log_verdict){ true, v.kind, v.log_e_bad };
		log->kind = v.kind;
	}
	if (put_or_stop(log, &r))
		log->state.ticks++;
	return err;
}

void ticklog__end(struct ticklog *log)
{
	struct log_record r = { .kind = LOG_END };

	if (!runs(log))
		return;
	r.end = (struct log_end){ log->state.ticks, log->kind };
	if (put_or_stop(log, &r))
		log->ended = true;
}

const struct ticklog_state *ticklog__state(const struct ticklog *log)
{
	return log ? &log->state : NULL;
}
