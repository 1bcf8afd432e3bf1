# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sourced: Debian packages of any release and architecture, signatures checked, with lists of packages of their own.
# Needs no root and leaves the host's lists and packages alone.

MIRROR=${MIRROR:-http://deb.debian.org/debian}
DEBIAN_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

# Says what this host lacks for it.
debian_possible() {
	command -v apt-get >/dev/null || {
		echo "this host has no apt-get"
		return 1
	}
	[ -r "$DEBIAN_KEYS" ] || {
		echo "no $DEBIAN_KEYS to check signatures with"
		return 1
	}
}

# debian_lists DIR SUITE ARCH: fetches the suite's lists into DIR; debian_apt is then how to ask apt about them.
debian_lists() {
	local dir=$1 suite=$2 arch=$3
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	: >"$dir/status"
	printf 'deb [signed-by=%s] %s %s main\n' "$DEBIAN_KEYS" "$MIRROR" "$suite" >"$dir/sources"
	debian_apt=(-q -q -o Dir::Etc::SourceList="$dir/sources" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null -o Dir::State="$dir"
		-o Dir::State::status="$dir/status" -o Dir::Cache="$dir" -o Acquire::Languages=none
		-o APT::Architecture="$arch" -o APT::Architectures::="$arch" -o APT::Sandbox::User="$(id -un)")
	apt-get "${debian_apt[@]}" update
}

# debian_unpack INTO PACKAGE [FILE...]: by the lists fetched last. FILE: patterns as tar has them, "./boot/*"; all without.
debian_unpack() {
	local into=$1 package=$2 here status
	shift 2
	here=$(mktemp -d "$into/.fetch.XXXXXX")
	(cd "$here" && apt-get "${debian_apt[@]}" download "$package" &&
		dpkg-deb --fsys-tarfile ./*.deb | tar -x -C "$into" --wildcards "$@")
	status=$?
	rm -rf "$here"
	return "$status"
}
