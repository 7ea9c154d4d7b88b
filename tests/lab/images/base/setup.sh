# Common to all hosts: access by SSH, no timers and consoles that a container has no use for.
useradd --create-home --shell /bin/bash ops
install -d -m 700 -o ops -g ops /home/ops/.ssh
chmod 440 /etc/sudoers.d/ops
rm -f /etc/ssh/ssh_host_*
# Without the audit capabilities of a real machine a required pam_loginuid refuses every login.
sed -i '/pam_loginuid.so/ s/required/optional/' /etc/pam.d/sshd
install -d -m 2755 -g systemd-journal /var/log/journal

# Links instead of `systemctl enable`, which spends seconds on SysV scripts.
units=/etc/systemd/system
ln -s /lib/systemd/system/systemd-networkd.service $units/multi-user.target.wants/
for unit in console-getty.service getty-static.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer; do
    ln -sf /dev/null $units/$unit
done
