// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/elf_note.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>

#define NOTE_BYTES_MAX (1024 * 1024)
#define SEGMENTS_MAX   1024

static int to_hex(const unsigned char *id, size_t n, char *hex, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	if (!n || n > ELF_BUILD_ID_MAX || len < 2 * n + 1)
		return -ERANGE;
	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digits[id[i] >> 4];
		hex[2 * i + 1] = digits[id[i] & 15];
	}
	hex[2 * n] = '\0';
	return 0;
}

/* Looks for the note in one block of notes. */
static int search_notes(Elf_Data *data, char *hex, size_t len)
{
	size_t at = 0, next, name, desc;
	GElf_Nhdr note;

	while (at < data->d_size && (next = gelf_getnote(data, at, &note, &name, &desc)) > at) {
		const char *bytes = data->d_buf;

		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(ELF_NOTE_GNU) &&
		    name + note.n_namesz <= data->d_size && desc + note.n_descsz <= data->d_size &&
		    !memcmp(bytes + name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)))
			return to_hex((const unsigned char *)bytes + desc, note.n_descsz, hex, len);
		at = next;
	}
	return -ENODATA;
}

/* Program headers are what the kernel loads by, so they are there even when the section table was stripped. */
static int search_segments(Elf *elf, char *hex, size_t len)
{
	size_t n;

	if (elf_getphdrnum(elf, &n))
		return -ENOEXEC;
	for (size_t i = 0; i < n && i < SEGMENTS_MAX; i++) {
		GElf_Phdr ph;
		Elf_Data *data;
		int err;

		if (!gelf_getphdr(elf, (int)i, &ph))
			return -ENOEXEC;
		if (ph.p_type != PT_NOTE || !ph.p_filesz || ph.p_filesz > NOTE_BYTES_MAX)
			continue;
		data = elf_getdata_rawchunk(elf, (int64_t)ph.p_offset, ph.p_filesz,
		                            ph.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
		if (!data)
			return -ENOEXEC;
		err = search_notes(data, hex, len);
		if (err != -ENODATA)
			return err;
	}
	return -ENODATA;
}

int elf__build_id(int fd, char *hex, size_t len)
{
	Elf *elf;
	int err;

	if (!len)
		return -ERANGE;
	hex[0] = '\0';
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOEXEC;
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return -ENOEXEC;
	err = elf_kind(elf) == ELF_K_ELF ? search_segments(elf, hex, len) : -ENOEXEC;
	if (err)
		hex[0] = '\0';
	elf_end(elf);
	return err;
}
