#!/bin/sh
# First process of a virtual machine: file systems, addresses, sshd, kernel modules. Under emulation a service manager would take longer than all of it.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
# HOSTNAME MACHINE_ID ADDRESS NEIGHBOUR RUNTIME, and NICS: one "name=mac[=address]" each
. /netrig/identity.env
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p /dev/pts /dev/shm /run/sshd /run/netns /run/lock
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sfn /proc/self/fd /dev/fd
echo "$HOSTNAME" > /etc/hostname
hostname "$HOSTNAME"
echo "$MACHINE_ID" > /etc/machine-id
printf '127.0.0.1 localhost\n%s %s\n' "${ADDRESS%/*}" "$HOSTNAME" > /etc/hosts
install -m 600 /netrig/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key
install -m 600 /netrig/authorized_keys /root/.ssh/authorized_keys
mkdir -p "/var/lib/netrig/runtime/$RUNTIME"
mount -t squashfs -o ro /dev/vdb "/var/lib/netrig/runtime/$RUNTIME"
ip link set lo up
modprobe virtio_net
for device in /sys/class/net/*; do
  found=$(cat "$device/address")
  for nic in $NICS; do
    IFS='=' read -r name mac address <<END
$nic
END
    [ "$mac" = "$found" ] || continue
    ip link set "${device##*/}" name "$name"
    [ -z "$address" ] || { ip addr add "$address" dev "$name"; ip link set "$name" up; }
  done
done
# Asking for the orchestrator's address by ARP would back off while it polls.
ip neigh replace "${NEIGHBOUR%=*}" lladdr "${NEIGHBOUR#*=}" dev mgmt0 nud permanent
/usr/sbin/sshd -e 2> /run/sshd.log
modprobe -a openvswitch sch_netem sch_htb sch_tbf sch_fq sch_etf sch_ingress vxlan act_mirred cls_u32 cls_flower ifb veth tun tcp_bbr 2> /run/modprobe.log
# What nobody else is the parent of ends here.
while :; do sleep 3600 & wait $!; done
