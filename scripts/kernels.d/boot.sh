# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sourced by scripts/kernels: one virtual machine, emulated: no /dev/kvm and no privileges are needed for it.

GUEST_MEMORY=2048 # MiB
# What "max" has to offer changes with QEMU.
GUEST_CPU=Westmere

make_initramfs() {
	local kernel=$1 into=$2 tree
	! ldd "$(command -v busybox)" >/dev/null 2>&1 || die "this busybox needs libraries: busybox-static has one that does not"
	tree=$(mktemp -d)
	mkdir -p "$tree/bin" "$tree/modules" "$tree"/{proc,sys,dev,host,over,root}
	cp "$(command -v busybox)" "$tree/bin/busybox"
	cp tests/kernels/init "$tree/init"
	cp "$kernel/insmod" "$tree/"
	cp "$kernel"/modules/*.ko "$tree/modules/"
	(cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null) >"$into"
	rm -rf "$tree"
}

# boot KERNEL OUT SECONDS WORDS [OPTION...]: WORDS for the guest's command line. Returns qemu's exit code, 124 when time
# was up. The guest sees this host's files, read-only, and writes to OUT/share. Whoever of us dies, by whatever
# signal, takes the machine along.
boot() {
	local kernel=$1 out=$2 seconds=$3 words=$4 tied=(setpriv --pdeathsig KILL)
	shift 4
	make_initramfs "$kernel" "$out/initramfs"
	mkdir -p "$out/share"
	"${tied[@]}" timeout --foreground --kill-after=5 "$seconds" "${tied[@]}" \
		qemu-system-x86_64 -accel tcg -cpu "$GUEST_CPU" -smp 1 -m "$GUEST_MEMORY" -nodefaults -no-user-config -no-reboot \
		-display none -kernel "$kernel/vmlinuz" -initrd "$out/initramfs" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off no5lvl init_on_alloc=0 tsc=reliable $words" \
		-virtfs local,path=/,mount_tag=host,readonly=on,security_model=none,multidevs=remap \
		-virtfs "local,path=$out/share,mount_tag=out,security_model=none,multidevs=remap" "$@"
}
