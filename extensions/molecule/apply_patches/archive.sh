# An archive on the host itself, made of the packages that are in its cache: archive.sh FOLDER SUFFIX PACKAGE...
# Each package gets SUFFIX behind its version, also where the others depend on exactly that version.
set -eu
folder=$1 suffix=$2
shift 2
mkdir -p "$folder"
: > "$folder/Packages"
for package; do
    work=$(mktemp -d)
    dpkg-deb -R "$(ls /var/cache/apt/archives/"$package"_*.deb | head -n 1)" "$work"
    sed -i -e "/^Version:/ s/\$/$suffix/" -e "/^\(Pre-\)\?Depends:/ s/(= \([^)]*\))/(= \1$suffix)/g" "$work/DEBIAN/control"
    dpkg-deb -b --root-owner-group "$work" "$folder/$package.deb" > /dev/null
    {
        dpkg-deb -f "$folder/$package.deb"
        echo "Filename: ./$package.deb"
        echo "Size: $(stat -c %s "$folder/$package.deb")"
        echo "SHA256: $(sha256sum "$folder/$package.deb" | cut -d ' ' -f 1)"
        echo
    } >> "$folder/Packages"
    rm -r "$work"
done
list=/etc/apt/sources.list.d/$(basename "$folder").list
echo "deb [trusted=yes] file:$folder ./" > "$list"
# Its own list only: the lab's hosts reach no other archive.
apt-get -qq update -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0
