/*
 * Workers of an AIN are its processors: a flow stays with the one that executed its first packet (R1-16). Packets that come to another
 * one are handed over by a device for each worker, whose packets the kernel leaves to that processor (receive packet steering).
 */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include "action.h"

static int worker_count(void)
{
	long configured = sysconf(_SC_NPROCESSORS_CONF);
	return configured > MOST_WORKERS ? MOST_WORKERS : configured < 1 ? 1 : (int)configured;
}

static void worker_name(int worker, char name[IFNAMSIZ])
{
	snprintf(name, IFNAMSIZ, "worker%d", worker);
}

static int steer(const char *device, int worker)
{
	char path[300], mask[16];
	snprintf(path, sizeof path, "/sys/class/net/%s/queues/rx-0/rps_cpus", device);
	snprintf(mask, sizeof mask, "%x", 1u << worker);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int failed = fd < 0 || write(fd, mask, strlen(mask)) < 0;
	if (fd >= 0) close(fd);
	return failed ? -1 : 0;
}

/*
 * -1: the kernel does not leave packets to that processor. /sys shows the network namespace that it was mounted in: a child looks at
 * one of its own.
 */
static int lead_to_worker(const char *device, int worker)
{
	int status = -1;
	pid_t child = fork();
	if (child == 0) {
		int failed = unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0;
		/* Busy: what is there shows this network namespace already; in a container it can only be read. */
		failed = failed || (mount("netrig", "/sys", "sysfs", 0, NULL) < 0 && (errno != EBUSY || mount(NULL, "/sys", NULL, MS_REMOUNT, NULL) < 0));
		_exit(failed || steer(device, worker) < 0);
	}
	return child < 0 || waitpid(child, &status, 0) < 0 || status != 0 ? -1 : 0;
}
