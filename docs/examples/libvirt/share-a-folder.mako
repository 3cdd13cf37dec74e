## $CORRAL_HOME/libvirt-templates/domain.mako: every virtual machine of this host sees the host's folder /srv/share.
## In the guest: mount -t 9p -o trans=virtio share /mnt
<%inherit file="base.mako"/>
<%block name="more_devices">
    <filesystem type="mount" accessmode="mapped">
      <source dir="/srv/share"/>
      <target dir="share"/>
    </filesystem>
</%block>
