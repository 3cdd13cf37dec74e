## A virtual machine as libvirt's domain XML (https://libvirt.org/formatdomain.html). `machine` is agents.libvirt.machine.Machine.
## A template of your own inherits this one and overrides blocks by their names; values are escaped for XML. The domain's name, uuid
## and metadata are Corral's: they are put in afterwards, whatever a template says.
<domain type="${machine.virtualization}">
  <title>${machine.title}</title>
<%block name="memory">
  <memory unit="MiB">${machine.memory_mb}</memory>
</%block>
<%block name="cpu">
  <vcpu>${machine.vcpus}</vcpu>
% if machine.virtualization == "kvm":
  <cpu mode="host-model"/>
% endif
</%block>
<%block name="os">
  <os>
    <type arch="${machine.arch}">hvm</type>
    <boot dev="hd"/>
  </os>
</%block>
<%block name="features">
  <features><acpi/><apic/></features>
</%block>
<%block name="clock">
  <clock offset="utc"/>
</%block>
<%block name="lifecycle">
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
</%block>
<%block name="more"/>
  <devices>
<%block name="disks">
% for disk in machine.disks:
    <disk type="file" device="disk">
      <driver name="qemu" type="${disk.format}"/>
      <source file="${disk.path}"/>
      <target dev="${disk.target}" bus="virtio"/>
    </disk>
% endfor
</%block>
<%block name="config_drive">
    <disk type="file" device="cdrom">
      <driver name="qemu" type="raw"/>
      <source file="${machine.seed}"/>
      <target dev="hda" bus="ide"/>
      <readonly/>
    </disk>
</%block>
<%block name="interfaces">
% for interface in machine.interfaces:
    <interface type="${interface.type}">
% if interface.mac:
      <mac address="${interface.mac}"/>
% endif
% if interface.source:
      <source
% for name, value in interface.source.items():
        ${name}="${value}"
% endfor
      />
% endif
      <model type="virtio"/>
    </interface>
% endfor
</%block>
<%block name="console">
    <serial type="pty">
      <log file="${machine.serial}" append="on"/>
    </serial>
</%block>
<%block name="graphics">
    <graphics type="vnc" port="-1" autoport="yes" passwd="${machine.vnc_password}">
      <listen type="address" address="${machine.vnc_listen}"/>
    </graphics>
    <video><model type="vga"/></video>
</%block>
<%block name="more_devices"/>
  </devices>
</domain>
