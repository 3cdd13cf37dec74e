"""The libvirt driver: virtual machines of a libvirt, through its Python bindings (the extra `libvirt`)."""

from agents.libvirt.connection import DEFAULT_URL, NoLibvirt, bindings, libvirt_url
from agents.libvirt.driver import LibvirtDriver, LibvirtOptions, reach

__all__ = ["DEFAULT_URL", "LibvirtDriver", "LibvirtOptions", "NoLibvirt", "bindings", "libvirt_url", "reach"]
