"""The libvirt driver: virtual machines of a libvirt, through its Python bindings (the extra `libvirt`)."""

from agents.libvirt.connection import DEFAULT_URL, NoBindings, NoLibvirt, libvirt_url
from agents.libvirt.driver import LibvirtDriver, reach

__all__ = ["DEFAULT_URL", "LibvirtDriver", "NoBindings", "NoLibvirt", "libvirt_url", "reach"]
