#!/bin/bash
# up.sh NAME INDEX: one lab host, a network, uts and mount namespace with a Docker engine and a libvirt of its own, at 10.216.INDEX.2.
# Does nothing where that host answers; begins anew where only its remains are there. The engine and libvirt outlive this script.
set -euo pipefail
LAB_DIR=${LAB_DIR:-${TMPDIR:-/tmp}/corral-lab}
here=$(dirname "$(readlink -f "$0")")
name=$1 index=$2
dir=$LAB_DIR/hosts/$name namespace=corral-$name net=10.216.$index

answers() {
  virsh -q -c "qemu+unix:///system?socket=$dir/libvirt/libvirt-sock" version >/dev/null 2>&1 || return 1
  # The engine's own ping, over TCP with nothing but bash.
  timeout 2 bash -c "exec 3<>/dev/tcp/$net.2/2375 && printf 'GET /_ping HTTP/1.0\r\n\r\n' >&3 && grep -q '^OK' <&3" 2>/dev/null
}

if [ -S "$dir/docker.sock" ] && answers; then exit 0; fi
"$here/down.sh" "$name" # which also looks at the name
if ip netns list | grep -qw "$namespace"; then
  echo "The network namespace $namespace belongs to a lab elsewhere: take that one down, with its LAB_DIR" >&2
  exit 1
fi

mkdir -p "$dir"/{etc-docker,etc-libvirt,run-libvirt,lib-libvirt,libvirt} /etc/docker /run/containerd /etc/libvirt /run/libvirt \
  /var/lib/libvirt /var/cache/libvirt
echo "$net.2" >"$dir/address"
# Migration looks the other host up by its name: every host of the lab knows those there were before it, and is told to them.
printf '127.0.0.1 localhost\n%s.2 %s\n' "$net" "$name" >"$dir/hosts"
for other in "$LAB_DIR"/hosts/*/; do
  known=$(basename "$other")
  [ "$known" != "$name" ] && [ -s "$other/address" ] && [ -w "$other/hosts" ] || continue
  echo "$(cat "$other/address") $known" >>"$dir/hosts"
  grep -q " $name\$" "$other/hosts" || echo "$net.2 $name" >>"$other/hosts"
done

# The machine's root runs the domains, for the files of a test are root's; there is no cgroup tree or security driver of their own.
cat >"$dir/etc-libvirt/qemu.conf" <<END
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
security_driver = "none"
stdio_handler = "file"
vnc_listen = "$net.2"
END
cat >"$dir/etc-libvirt/libvirtd.conf" <<END
unix_sock_dir = "$dir/libvirt"
listen_tls = 0
listen_tcp = 1
listen_addr = "$net.2"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
log_outputs = "3:file:$dir/libvirtd.log"
END
# Containers of one host reach the other hosts through the machine.
sysctl -q -w net.ipv4.ip_forward=1
ip netns add "$namespace"
ip link add "cv-$name" type veth peer name eth0 netns "$namespace"
ip addr add "$net.1/30" dev "cv-$name"
ip link set "cv-$name" up
ip -n "$namespace" addr add "$net.2/30" dev eth0
ip -n "$namespace" link set eth0 up
ip -n "$namespace" link set lo up
ip -n "$namespace" route add default via "$net.1"

# nsenter, because `ip netns exec` replaces /sys and hides the cgroups. A network namespace each, because two engines in one flush each
# other's iptables rules. /etc/docker is bound for an engine id of its own; /run/containerd is hidden, because an engine would use the machine's
# containerd, whose containers live in the machine's network. tini collects dead children at once: else kill and remove look slow.
# The cgroup driver is named, because down.sh looks for containers by their cgroups. --tls=false, because without it a TCP socket without TLS costs 16 s.
setsid nsenter --net="/run/netns/$namespace" unshare --uts --mount --propagation private bash -c "
  hostname $name
  mount --bind '$dir/etc-docker' /etc/docker
  mount --bind '$dir/hosts' /etc/hosts
  mount -t tmpfs none /run/containerd
  mount --bind '$dir/etc-libvirt' /etc/libvirt
  mount --bind '$dir/run-libvirt' /run/libvirt
  mount --bind '$dir/lib-libvirt' /var/lib/libvirt
  tini -s -- libvirtd --listen --pid-file '$dir/libvirtd.pid' >'$dir/libvirtd.out' 2>&1 &
  exec tini -s -- dockerd --data-root '$dir/data' --exec-root '$dir/exec' --pidfile '$dir/dockerd.pid' \
    --host 'unix://$dir/docker.sock' --host tcp://$net.2:2375 --tls=false --shutdown-timeout 2 \
    --exec-opt native.cgroupdriver=cgroupfs
" </dev/null >"$dir/dockerd.log" 2>&1 &

for _ in $(seq 1 300); do
  if answers; then exit 0; fi
  kill -0 $! 2>/dev/null || break
  sleep .1
done
echo "The Docker engine or libvirt of lab host $name is not ready; their logs end with:" >&2
tail -n 8 "$dir/dockerd.log" "$dir/libvirtd.log" "$dir/libvirtd.out" >&2
exit 1
