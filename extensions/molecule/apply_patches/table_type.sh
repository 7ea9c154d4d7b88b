# An archive with a package that brings the table type mysql to Postfix, as Debian's does; it cannot open a database.
set -eu
version=$(dpkg-query -W -f '${Version}' postfix)
work=$(mktemp -d)
mkdir -p "$work/DEBIAN" "$work/usr/lib/postfix" /srv/tables
cp /usr/lib/postfix/libpostfix-util.so "$work/usr/lib/postfix/postfix-mysql.so"
cat > "$work/DEBIAN/control" <<CONTROL
Package: postfix-mysql
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: lab <lab@single.test>
Depends: postfix (= $version)
Installed-Size: 400
Description: table type for a test
CONTROL
printf '#!/bin/sh\nset -e\n. /usr/share/postfix/postinst.functions\naddmap mysql\n' > "$work/DEBIAN/postinst"
chmod 755 "$work/DEBIAN/postinst"
dpkg-deb -b --root-owner-group "$work" "/var/cache/apt/archives/postfix-mysql_${version}_all.deb" > /dev/null
rm -r "$work"
# The real one would be preferred, and is out of reach.
mkdir -p /root/lists
mv /var/lib/apt/lists/*_debian_dists_* /root/lists/
bash /root/archive.sh /srv/tables '' postfix-mysql
rm "/var/cache/apt/archives/postfix-mysql_${version}_all.deb"
