"""The libvirt driver, pure and against real domains."""
