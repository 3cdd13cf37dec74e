#!/bin/bash
# down.sh NAME: stops a lab host's engine and libvirt, with their containers and domains, and removes all that the host left. May be called
# in any state.
set -uo pipefail
LAB_DIR=${LAB_DIR:-${TMPDIR:-/tmp}/corral-lab}
name=$1
[[ $name =~ ^[a-z][a-z0-9]{0,11}$ ]] || { echo "a lab host's name is at most 12 small letters and digits, not '$name'" >&2; exit 2; }
dir=$LAB_DIR/hosts/$name
[ -d "$dir" ] || exit 0

# its_daemon PID OPTION: whether that process is this host's daemon, as its command line says.
its_daemon() {
  [ -r "/proc/${1:-none}/cmdline" ] && tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF -- "$2"
}

# end_daemon NAME OPTION: asks it to end, and makes it end after 15 s.
end_daemon() {
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null)
  its_daemon "$pid" "$2" || return 0
  kill "$pid"
  for _ in $(seq 1 150); do its_daemon "$pid" "$2" || return 0; sleep .1; done
  kill -9 "$pid"
  sleep .5
}

socket=$dir/libvirt/libvirt-sock
if [ -S "$socket" ] && its_daemon "$(cat "$dir/libvirtd.pid" 2>/dev/null)" "--pid-file $dir/libvirtd.pid"; then
  for domain in $(timeout 20 virsh -q -c "qemu+unix:///system?socket=$socket" list --uuid 2>/dev/null); do
    timeout 20 virsh -q -c "qemu+unix:///system?socket=$socket" destroy "$domain" >/dev/null
  done
fi
end_daemon libvirtd "--pid-file $dir/libvirtd.pid"
end_daemon dockerd "--pidfile $dir/dockerd.pid"
if [ -e "/run/netns/corral-$name" ]; then
  # What an engine that was killed could not end itself: its containerd, its shims and its containers.
  for left in $(ip netns pids "corral-$name"); do kill -9 "$left" 2>/dev/null; done
  for container in "$dir"/data/containers/*; do
    id=${container##*/}
    # Nothing but a whole container id may go into the paths below: they name whom to kill.
    [[ $id =~ ^[0-9a-f]{64}$ ]] || continue
    for processes in "/sys/fs/cgroup/docker/$id/cgroup.procs" /sys/fs/cgroup/*/"docker/$id/cgroup.procs"; do
      [ -f "$processes" ] || continue
      while read -r left; do kill -9 "$left" 2>/dev/null; done <"$processes"
    done
  done
  ip netns del "corral-$name"
fi
ip link del "cv-$name" 2>/dev/null
awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r -n1 umount -l
rm -rf "$dir"
