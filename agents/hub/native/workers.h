/* Workers of an AIN are its processors: the kernel chooses one by a frame's flow, so that a flow stays with one (R1-16). */
#pragma once
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* As the kernel reads it: 32 processors a word. */
enum { MOST_WORKERS = 32 };

/* Receive packet steering for each queue of the device. */
static int steer(const char *device)
{
	char path[300], mask[16];
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	int workers = online > MOST_WORKERS ? MOST_WORKERS : online < 1 ? 1 : (int)online;
	snprintf(mask, sizeof mask, "%x", (unsigned int)((1ULL << workers) - 1));
	snprintf(path, sizeof path, "/sys/class/net/%s/queues", device);
	DIR *queues = opendir(path);
	if (!queues) return -1;
	int failed = 0;
	for (struct dirent *entry; (entry = readdir(queues));) {
		if (strncmp(entry->d_name, "rx-", 3)) continue;
		snprintf(path, sizeof path, "/sys/class/net/%s/queues/%s/rps_cpus", device, entry->d_name);
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		failed |= fd < 0 || write(fd, mask, strlen(mask)) < 0;
		if (fd >= 0) close(fd);
	}
	closedir(queues);
	return failed ? -1 : 0;
}

/* /sys shows the network namespace that it was mounted in: a child looks at one of its own. */
static int spread_over_workers(const char *device)
{
	int status = -1;
	pid_t child = fork();
	if (child == 0) {
		int failed = unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0;
		/* Busy: what is there shows this network namespace already. */
		failed = failed || (mount("netrig", "/sys", "sysfs", 0, NULL) < 0 && errno != EBUSY);
		_exit(failed || steer(device) < 0);
	}
	return child < 0 || waitpid(child, &status, 0) < 0 || status != 0 ? -1 : 0;
}
