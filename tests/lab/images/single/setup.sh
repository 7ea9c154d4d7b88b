for user in alice bob carol probe; do
    useradd --create-home --shell /usr/sbin/nologin $user
    echo "$user:lab-$user" | chpasswd
done
postconf -M 'submission/inet=submission inet n - y - - smtpd' 'submissions/inet=submissions inet n - y - - smtpd'
for service in submission submissions; do
    postconf -P $service/inet/syslog_name=postfix/$service \
        $service/inet/smtpd_sasl_auth_enable=yes \
        $service/inet/smtpd_tls_auth_only=yes \
        $service/inet/smtpd_relay_restrictions=permit_sasl_authenticated,reject
done
postconf -P submission/inet/smtpd_tls_security_level=encrypt submissions/inet/smtpd_tls_wrappermode=yes
newaliases
postmap /etc/postfix/virtual /etc/postfix/transport
# A container has no kernel log of its own.
sed -i '/imklog/ s/^/#/' /etc/rsyslog.conf
install -d -m 755 /etc/ssl/mail
