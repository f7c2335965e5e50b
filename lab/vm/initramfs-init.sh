#!/bin/busybox sh
# Mounts the read-only root image with a layer of memory above it, puts this machine's identity there, and goes on.
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
while read -r module; do $bb insmod "/modules/$module" || echo "netrig: insmod $module failed"; done < /modules/order
tries=0
while [ ! -b /dev/vdb ] && [ $tries -lt 500 ]; do $bb usleep 20000; tries=$((tries + 1)); done
$bb mkdir -p /mnt/ro /mnt/rw /mnt/new
$bb mount -t squashfs -o ro /dev/vda /mnt/ro || { echo 'netrig: no root image'; $bb poweroff -f; }
$bb mount -t tmpfs -o mode=755,size=60% tmpfs /mnt/rw
$bb mkdir /mnt/rw/upper /mnt/rw/work
$bb mount -t overlay -o lowerdir=/mnt/ro,upperdir=/mnt/rw/upper,workdir=/mnt/rw/work overlay /mnt/new
$bb cp -a /netrig/. /mnt/new/netrig/
for d in proc sys dev; do $bb mount --move /$d /mnt/new/$d; done
exec $bb switch_root /mnt/new /sbin/netrig-init
