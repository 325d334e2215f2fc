#!/bin/busybox sh
# Pid 1 of the machine. First in the initramfs: loads the modules that mount the host's tree, read-only and with a layer in memory above
# it, then goes there. Then, with the argument "tree": runs the command, and says on both streams that it has ended.
# /machine, written by initramfs.ts, sets: kernel_root, modules_dir, release, end_mark. /command is what to run.
bb=/bin/busybox
here=/run/fairlead-kernel

die() {
  echo "<2>kernel runner: $1" >/dev/kmsg
  $bb sleep 1
  echo c >/proc/sysrq-trigger
}

initramfs() {
  $bb mkdir -p /proc /dev /host /layer /tree
  $bb mount -t proc proc /proc
  $bb mount -t devtmpfs dev /dev
  . /machine
  for module in /modules/*.ko; do $bb insmod "$module" || die "cannot load $module"; done
  $bb mount -t virtiofs -o ro host /host || die "cannot mount the host's tree"
  $bb mount -t tmpfs -o size=75% layer /layer
  $bb mkdir /layer/upper /layer/work
  $bb mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work tree /tree || die "cannot mount a layer over the host's tree"

  $bb mkdir -p /tree/proc /tree/sys /tree/dev /tree/run
  $bb mount -t proc proc /tree/proc
  $bb mount -t sysfs sys /tree/sys
  $bb mount -t devtmpfs dev /tree/dev
  $bb mount -t tmpfs -o mode=755 run /tree/run
  $bb mkdir -p /tree/dev/pts /tree/dev/shm /tree/dev/net /tree/run/lock /tree$here/bin
  $bb mount -t devpts -o ptmxmode=666 pts /tree/dev/pts
  $bb mount -t tmpfs -o mode=1777 shm /tree/dev/shm
  [ -e /tree/dev/net/tun ] || $bb mknod -m 666 /tree/dev/net/tun c 10 200
  for link in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2; do
    [ -e "/tree/dev/${link%%:*}" ] || $bb ln -s "${link#*:}" "/tree/dev/${link%%:*}"
  done

  $bb cp /bin/busybox /init /machine /command /tree$here/
  $bb chmod 755 /tree$here/init /tree$here/busybox
  for tool in modprobe lsmod modinfo; do $bb ln -s "$kernel_root/bin/kmod" "/tree$here/bin/$tool"; done
  if [ "$kernel_root" != / ]; then
    $bb mkdir -p /tree/lib/modules
    $bb rm -rf "/tree/lib/modules/$release"
    $bb ln -s "$modules_dir" "/tree/lib/modules/$release"
  fi
  $bb umount /proc
  exec $bb switch_root /tree $here/busybox sh $here/init tree
}

# The device of the port that qemu calls $1, as soon as it is there.
port() {
  while :; do
    for dir in /sys/class/virtio-ports/*; do
      device=/dev/${dir##*/}
      [ -c "$device" ] && [ "$(cat "$dir/name")" = "$1" ] && echo "$device" && return
    done
    $bb usleep 10000
  done
}

tree() {
  bb=$here/busybox
  . $here/machine
  echo $here/bin/modprobe >/proc/sys/kernel/modprobe
  $bb mount -t cgroup2 cgroup2 /sys/fs/cgroup
  $bb mount -t bpf bpf /sys/fs/bpf
  $bb hostname kernel
  $bb ip link set lo up
  # Pipes, so that a program may open its streams again (a port can be opened once), and so that what outlives the command holds nothing.
  $bb mkfifo $here/stdout $here/stderr
  $bb cat $here/stdout >"$(port stdout)" &
  $bb cat $here/stderr >"$(port stderr)" &
  exec 8<>$here/stdout 9<>$here/stderr
  $bb sh $here/command </dev/null >&8 2>&9 8>&- 9>&-
  status=$?
  printf '%s%d\n' "$end_mark" $status >&8
  printf '%s%d\n' "$end_mark" $status >&9
  # The host turns the machine off when it has read both.
  while :; do $bb sleep 3600; done
}

if [ "$1" = tree ]; then tree; else initramfs; fi
