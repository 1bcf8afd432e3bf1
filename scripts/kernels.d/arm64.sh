# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sourced by scripts/kernels: the programs on Debian's arm64 kernel. A guest of another architecture cannot run this
# host's files: all it has is an initramfs of Debian's own busybox and bpftool, which loads them.

ARM64=trixie
ARM64_ROOT="busybox-static bpftool libc6 libcap2 libelf1t64 zlib1g libgcc-s1 libzstd1"

# build/kernels/arm64: vmlinuz, root.cpio
fetch_arm64() {
	local dir=$PWD/build/kernels/arm64 new p
	[ ! -e "$dir/root.cpio" ] || return 0
	why=$(debian_possible) || die "$why"
	new=$dir.new
	rm -rf "$dir" "$new"
	mkdir -p "$new/unpacked" "$new/root"
	debian_lists "$new/apt" "$ARM64" arm64 || die "no list of packages of $ARM64 for arm64 from $MIRROR"
	p=$(kernel_packages linux-image-arm64)
	debian_unpack "$new/unpacked" "${p%%$'\n'*}" './boot/vmlinuz*' || die "no arm64 kernel of $ARM64 could be fetched"
	for p in $ARM64_ROOT; do
		debian_unpack "$new/root" "$p" || die "$p of $ARM64 for arm64 could not be fetched"
	done
	mv "$new"/unpacked/boot/vmlinuz-* "$new/vmlinuz"
	rm -r "$new/root/usr/share"
	ln -s usr/lib "$new/root/lib"
	(cd "$new/root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$new/root.cpio"
	rm -r "$new/unpacked" "$new/apt" "$new/root"
	mv "$new" "$dir"
}

# Loads them all there.
arm64() {
	local dir=$PWD/build/kernels/arm64 out=$PWD/build/kernels/out/arm64 want
	fetch_arm64
	setpriv --pdeathsig TERM make -s build/arm64/whole.o || die "the build failed"
	rm -rf "$out"
	mkdir -p "$out"
	cp tests/kernels/init_arm64 "$out/init"
	cp build/arm64/whole.o "$out/tillwatch.bpf.o"
	# An initramfs may be several archives one after another.
	{
		cat "$dir/root.cpio"
		(cd "$out" && printf '%s\n' init tillwatch.bpf.o | busybox cpio -o -H newc 2>/dev/null)
	} >"$out/initramfs"
	setpriv --pdeathsig KILL timeout --foreground --kill-after=5 "$SECONDS_MAX" setpriv --pdeathsig KILL \
		qemu-system-aarch64 -M virt -cpu cortex-a72 -accel tcg -smp 1 -m "$GUEST_MEMORY" -nodefaults -no-user-config \
		-no-reboot -display none -kernel "$dir/vmlinuz" -initrd "$out/initramfs" \
		-append "console=ttyAMA0 quiet panic=-1 mitigations=off" -serial "file:$out/console" >"$out/qemu" 2>&1 || true
	tr -d '\r' <"$out/console"
	want=$(bpftool gen skeleton build/arm64/whole.o name t | grep -c 'struct bpf_program \*')
	grep -q "^exit code 0, $want programs" <(tr -d '\r' <"$out/console") || die "an arm64 kernel does not load all $want"
	echo "kernels: 1 passed, 0 failed"
}
