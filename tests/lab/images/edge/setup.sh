newaliases
postmap /etc/postfix/relay_recipients /etc/postfix/transport /etc/postfix/virtual
install -d -m 755 /etc/ssl/mail
