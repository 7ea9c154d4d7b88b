# The rest of the world: a mail host like `single`, and the lab's name server, whose root zone ends at the lab.
useradd --create-home --shell /usr/sbin/nologin friend
echo friend:lab-friend | chpasswd
install -d /etc/bind/zones
postmap /etc/postfix/transport
