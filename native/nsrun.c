/*
 * nsrun: runs many commands in many network namespaces with one call.
 *
 * A deployment is hundreds of short commands (ip, tc, ethtool, ovs-vsctl); starting each from Node costs
 * 5 ms of its one thread, from here 1 ms of any core, and over SSH the whole stage is one round trip.
 *
 * usage: nsrun JOBS < steps > results
 *   step:    header line  CHAIN NARGS NENV
 *            then texts, each as LENGTH ':' its bytes ',': a network namespace or "-", NARGS arguments, NENV NAME=VALUE, the standard
 *            input; then a newline
 *   result:  INDEX STATUS OUTPUT_BYTES, newline, the output (stdout and stderr), newline
 * Steps of one chain run in order, chains side by side. After a failure nothing new is started.
 * Exit status 0: every step succeeded.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_OUTPUT = 4096, MAX_WORDS = 4096, MAX_TEXT = 64 << 20 };

struct step {
	int chain, output, running, done;
	pid_t pid;
	char *netns;
	char **argv, **env;
	char *input;
	size_t input_bytes;
};

static struct step *steps;
static int nsteps;

static void die(const char *what)
{
	fprintf(stderr, "nsrun: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void malformed(const char *what)
{
	errno = EINVAL;
	die(what);
}

/* A text with its length before it; a NUL after it, which is not counted. */
static char *read_counted(size_t *length)
{
	size_t size;
	if (scanf("%zu", &size) != 1 || getchar() != ':' || size > MAX_TEXT) malformed("malformed length");
	char *text = malloc(size + 1);
	if (!text) die("memory");
	if (fread(text, 1, size, stdin) != size || getchar() != ',') malformed("truncated text");
	text[size] = 0;
	*length = size;
	return text;
}

static char *read_word(void)
{
	size_t length;
	char *text = read_counted(&length);
	if (strlen(text) != length) malformed("NUL in a word");
	return text;
}

static char **read_words(int n)
{
	char **words = calloc((size_t)n + 1, sizeof *words);
	if (!words) die("memory");
	for (int i = 0; i < n; i++) words[i] = read_word();
	return words;
}

/* All of the input, or nothing is done: what cannot be read is refused. */
static void read_steps(void)
{
	int c;
	while ((c = getchar()) != EOF) {
		struct step s = { 0 };
		int nargs, nenv;
		ungetc(c, stdin);
		if (scanf("%d %d %d", &s.chain, &nargs, &nenv) != 3 || getchar() != '\n') malformed("malformed step");
		if (nargs < 1 || nargs > MAX_WORDS || nenv < 0 || nenv > MAX_WORDS) malformed("malformed step");
		s.netns = read_word();
		s.argv = read_words(nargs);
		s.env = read_words(nenv);
		s.input = read_counted(&s.input_bytes);
		if (getchar() != '\n') malformed("malformed step");
		steps = realloc(steps, (size_t)(nsteps + 1) * sizeof *steps);
		if (!steps) die("memory");
		steps[nsteps++] = s;
	}
	if (ferror(stdin)) die("input");
}

/* In the child: never returns. */
static void become(struct step *s)
{
	char path[512];
	int in = memfd_create("stdin", 0);
	if (in < 0 || write(in, s->input, s->input_bytes) != (ssize_t)s->input_bytes || lseek(in, 0, SEEK_SET) < 0) _exit(125);
	dup2(in, 0);
	dup2(s->output, 1);
	dup2(s->output, 2);
	if (strcmp(s->netns, "-")) {
		snprintf(path, sizeof path, "/run/netns/%s", s->netns);
		int ns = open(path, O_RDONLY | O_CLOEXEC);
		if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) {
			dprintf(2, "namespace %s: %s", s->netns, strerror(errno));
			_exit(125);
		}
	}
	for (char **e = s->env; *e; e++) putenv(*e);
	execvp(s->argv[0], s->argv);
	dprintf(2, "%s: %s", s->argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void start(struct step *s)
{
	pid_t parent = getpid();
	s->output = memfd_create("output", MFD_CLOEXEC);
	if (s->output < 0) die("memfd");
	fflush(stdout);
	s->pid = fork();
	if (s->pid < 0) die("fork");
	if (s->pid == 0) {
		/* A step that nobody waits for any more would go on making things behind whoever removes them. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent) _exit(125);
		become(s);
	}
	s->running = 1;
}

static void report(struct step *s, int status)
{
	char text[MAX_OUTPUT];
	ssize_t n = pread(s->output, text, sizeof text, 0);
	close(s->output);
	printf("%d %d %zd\n", (int)(s - steps), status, n < 0 ? 0 : n);
	fwrite(text, 1, n < 0 ? 0 : (size_t)n, stdout);
	putchar('\n');
}

/* The first step of a chain that is neither done nor behind a running one. */
static struct step *next_step(void)
{
	for (int i = 0; i < nsteps; i++) {
		if (steps[i].done || steps[i].running) continue;
		int blocked = 0;
		for (int k = i - 1; k >= 0 && !blocked; k--) {
			if (steps[k].chain != steps[i].chain) break; /* chains are contiguous */
			blocked = !steps[k].done;
		}
		if (!blocked) return &steps[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int jobs = argc == 2 ? atoi(argv[1]) : 0, running = 0, failed = 0;
	struct step *s;

	if (jobs < 1) return fprintf(stderr, "usage: nsrun JOBS < steps > results\n"), 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	read_steps();
	for (;;) {
		while (!failed && running < jobs && (s = next_step())) {
			start(s);
			running++;
		}
		if (running == 0) return failed;
		int status;
		pid_t pid = wait(&status);
		if (pid < 0) die("wait");
		for (int i = 0; i < nsteps; i++) {
			if (!steps[i].running || steps[i].pid != pid) continue;
			int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			steps[i].running = 0;
			steps[i].done = 1;
			running--;
			failed |= code != 0;
			report(&steps[i], code);
		}
	}
}
