"""Shell lines for a process tree in namespaces of its own, which make a directory its root."""

# The working directory becomes the root; $name is what the machine is called there. Of the kernel's settings, which are
# this machine's too, programs can change none but the host name, which is a namespace's. Without /dev/console systemd
# uses /dev/null, without /dev/kmsg journald leaves the kernel's log be, and without /dev/kvm libvirt does not try for
# long whether that works. In /run/lock it notes whose a console is; a newer systemd leaves it to systemd-tmpfiles.
PLACES = r"""
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
for place in dev run; do mount -t tmpfs -o mode=755 tmpfs $place; done
for place in tmp var/tmp; do mount -t tmpfs -o mode=1777 tmpfs $place; done
mkdir dev/pts dev/shm
mkdir -m 1777 run/lock
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for node in null zero full random urandom tty; do cp -a /dev/$node dev/; done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in 0 1 2; do ln -s /proc/self/fd/$number dev/$(echo stdin stdout stderr | cut -d' ' -f$((number + 1))); done
echo "$name" | tee etc/hostname >proc/sys/kernel/hostname
mount --bind proc/sys/kernel/hostname proc/sys/kernel/hostname
mount -o remount,bind,ro proc/sys
"""

#: Moves in, and leaves behind what was the root before.
MOVE_IN = r"""
mkdir old
pivot_root . old
umount -l old
rmdir old
"""
