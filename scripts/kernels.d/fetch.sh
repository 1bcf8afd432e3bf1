# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sourced by scripts/kernels: a Debian kernel and the modules a guest needs, below build/kernels/SUITE:
#   vmlinuz   release   version   modules/NAME.ko   insmod (their order)

# What the guest cannot do without (its root file system), and what the kernel would load by itself when tests ask for
# it, were its modules in the guest. One that is built in has no file.
MODULES_ROOT="virtio_pci 9pnet_virtio 9p overlay"
MODULES_TESTS="inet_diag tcp_diag unix_diag sch_netem sch_prio sch_ingress cls_u32 cls_bpf veth tls"

# kernel_packages NAME: the packages that a kernel consists of: NAME names its parts by their exact version. Until 6.x that is one package with
# everything in it; since then linux-image-RELEASE is empty and wants linux-binary-, linux-modules- and linux-base-RELEASE.
kernel_packages() {
	local -a todo=("$1") depends
	local -A seen=()
	local p d
	while [ ${#todo[@]} -gt 0 ]; do
		p=${todo[0]}
		todo=("${todo[@]:1}")
		[ -z "${seen[$p]-}" ] || continue
		seen[$p]=1
		mapfile -t depends < <(apt-cache "${debian_apt[@]}" show --no-all-versions "$p" |
			sed -n 's/^Depends: //p' | tr ',' '\n' | sed -n 's/^ *\(linux-[^ ]*\) (= .*/\1/p')
		todo+=("${depends[@]}")
		case $p in
		"$1" | linux-base-*) ;; # only names, and scripts for the boot loader
		*) echo "$p" ;;
		esac
	done
}

# module_file NAME: NAME is written with - or _, as it happens.
module_file() {
	find "$1" -name "${2//[_-]/[_-]}.ko*" -print -quit
}

# Copies a module and, before it, those it needs.
take_module() {
	local from=$1 dir=$2 name=${3//-/_} file depends d
	[ ! -e "$dir/modules/$name.ko" ] || return 0
	file=$(module_file "$from" "$name")
	[ -n "$file" ] || return 0
	depends=$(modinfo -F depends "$file")
	for d in ${depends//,/ }; do
		take_module "$from" "$dir" "$d"
	done
	case $file in
	*.xz) xz -dc "$file" >"$dir/modules/$name.ko" ;;
	*.zst) zstd -qdc "$file" >"$dir/modules/$name.ko" ;;
	*) cp "$file" "$dir/modules/$name.ko" ;;
	esac
	echo "$name" >>"$dir/insmod"
}

fetch_kernel() {
	local suite=$1 dir=$PWD/build/kernels/$1 new packages p m release
	[ ! -e "$dir/version" ] || return 0
	why=$(debian_possible) || die "$why"
	new=$dir.new
	rm -rf "$dir" "$new"
	mkdir -p "$new/unpacked" "$new/modules"
	debian_lists "$new/apt" "$suite" amd64 || die "no list of packages of $suite from $MIRROR"
	packages=$(kernel_packages linux-image-amd64)
	[ -n "$packages" ] || die "no linux-image-amd64 of $suite to be had from $MIRROR"
	for p in $packages; do
		# Not all of it: a package has some 4,000 modules, and some of the patterns match nothing in one.
		debian_unpack "$new/unpacked" "$p" || die "$p of $suite could not be fetched"
	done
	release=$(find "$new/unpacked" -path '*/modules/*' -name kernel -type d -printf '%h\n' -quit)
	release=${release##*/}
	[ -n "$release" ] || die "no modules in $packages"
	cp "$(find "$new/unpacked" -name "vmlinuz*" -type f -print -quit)" "$new/vmlinuz"
	for m in $MODULES_ROOT $MODULES_TESTS; do
		take_module "$new/unpacked" "$new" "$m"
	done
	echo "$release" >"$new/release"
	apt-cache "${debian_apt[@]}" show --no-all-versions linux-image-amd64 | sed -n 's/^Version: //p' >"$new/version"
	rm -rf "$new/unpacked" "$new/apt"
	mv "$new" "$dir"
	printf 'kernels: fetched %s: Linux %s, Debian version %s\n' "$suite" "$release" "$(cat "$dir/version")"
}
