#!/bin/bash
# setup.sh: what a lab host needs, on Debian as root. Does nothing where all is there.
# It installs Debian's packages of Docker, libvirt and QEMU (the list is below), makes the account that libvirt insists on, and an image from busybox.
set -euo pipefail
LAB_DIR=${LAB_DIR:-${TMPDIR:-/tmp}/corral-lab}

if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
  echo "The lab makes network namespaces and starts Docker engines and libvirt in them: it needs Linux and root (sudo make lab)." >&2
  exit 1
fi
mkdir -p "$LAB_DIR"
exec 9>"$LAB_DIR/setup.lock"
flock -w 600 9

# Not libvirt-daemon-system, which pulls in systemd. libvirt-dev, pkg-config and gcc compile libvirt-python.
packages=(docker.io iptables iproute2 busybox-static tini libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86
  qemu-utils libvirt-dev pkg-config gcc dnsmasq-base openssh-server)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || { echo "The lab needs, and can only install on Debian: ${missing[*]}" >&2; exit 1; }
  echo "Installing Debian's packages for the lab: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  {
    apt-get update -q &&
      apt-get install -y -q --no-install-recommends "${missing[@]}"
  } >"$LAB_DIR/setup.log" 2>&1 9>&- || { tail -n 20 "$LAB_DIR/setup.log" >&2; exit 1; }
fi

# QEMU's driver refuses to start without this account, whatever its configuration says.
getent group libvirt-qemu >/dev/null || groupadd -r libvirt-qemu
getent passwd libvirt-qemu >/dev/null || useradd -r -M -N -g libvirt-qemu -d /var/lib/libvirt -s /usr/sbin/nologin libvirt-qemu

# No registry is asked for an image: this one is busybox, statically linked, with its applets.
image=$LAB_DIR/busybox.tar
if [ ! -s "$image" ]; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev,root,www}
  busybox=$(dpkg -L busybox-static | grep -m1 '/bin/busybox$')
  cp "$busybox" "$root/bin/busybox"
  for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  echo hello-from-busybox >"$root/www/index.html"
  tar -C "$root" --owner=0 --group=0 -c . >"$image.new"
  mv "$image.new" "$image"
fi
