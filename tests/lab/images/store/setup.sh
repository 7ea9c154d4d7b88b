groupadd --gid 5000 vmail
useradd --uid 5000 --gid vmail --home-dir /srv/vmail --no-create-home --shell /usr/sbin/nologin vmail
install -d -m 770 -o vmail -g vmail /srv/vmail
install -d /mnt/mail-disk
for user in alice bob carol probe; do
    echo "$user@split.test:{SHA512-CRYPT}$(openssl passwd -6 -salt labsalt lab-$user)::::::"
done > /etc/dovecot/users
chown root:dovecot /etc/dovecot/users
chmod 640 /etc/dovecot/users
sed -i 's/^!include auth-system.conf.ext/#&/' /etc/dovecot/conf.d/10-auth.conf

# Submission only: nothing listens on port 25.
postconf -MX smtp/inet
postconf -M 'submission/inet=submission inet n - y - - smtpd' 'submissions/inet=submissions inet n - y - - smtpd'
for service in submission submissions; do
    postconf -P $service/inet/syslog_name=postfix/$service \
        $service/inet/smtpd_sasl_auth_enable=yes \
        $service/inet/smtpd_tls_auth_only=yes \
        $service/inet/smtpd_relay_restrictions=permit_sasl_authenticated,reject
done
postconf -P submission/inet/smtpd_tls_security_level=encrypt submissions/inet/smtpd_tls_wrappermode=yes
newaliases
postmap /etc/postfix/vmailbox /etc/postfix/virtual
install -d -m 755 /etc/ssl/mail
